"""Fits the fixed scale of a model to distances that somebody or a sensor measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from mono_depth.data import DepthImage, Intrinsics, OutputKind, RgbImage
from mono_depth.errors import ConfigError
from mono_depth.models.protocol import DepthModel
from mono_depth.scale.fit import Points, Rejection, fit_points
from mono_depth.scale.scale_shift import IDENTITY, METRIC_KINDS, Floats, Pivot

_ROBUST_FROM = 6  # fewer distances are all believed
_SIGMA = 0.02  # of a measured distance, relative
_UNKNOWN_SIGMA = 0.1  # of a network's scale at one pixel, where nothing tells it
_PER_FRAME = 100
_BOOTSTRAP_FROM = 5  # frames
_BOOTSTRAPS = 20


@dataclass(frozen=True, kw_only=True)
class FixedScale:
    """The parameters scale.factor and scale.shift."""

    factor: float
    shift: float
    factor_sigma: float
    shift_sigma: float  # 0 = the shift was not fitted
    samples: int
    error_rel: float  # median |relative error of depth| that is left


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """A measured distance and what the fitted scale makes of it."""

    place: str
    measured_m: float
    fitted_m: float

    @property
    def error_rel(self) -> float:
        """How far apart the two are, as a share of the larger."""
        return 1.0 - min(self.measured_m, self.fitted_m) / max(self.measured_m, self.fitted_m)


class Samples:
    """Collects output of a network beside known depth."""

    def __init__(self, kind: OutputKind, *, with_shift: bool = True) -> None:
        self.kind = kind
        self._with_shift = with_shift
        self._outputs: list[Floats] = []
        self._depths_m: list[Floats] = []
        self._places: list[tuple[str, float, float]] = []  # of picks: place, output, depth

    def add_pixel(
        self,
        model: DepthModel,
        rgb: RgbImage,
        intrinsics: Intrinsics | None,
        picks: list[tuple[float, float, float]],
        name: str = "",
    ) -> None:
        """Add distances that were measured along the optical axis.

        Args:
            model: the network.
            rgb: (H, W, 3) uint8, rectified.
            intrinsics: of the image, None if unknown.
            picks: column and row in pixels of the image, depth in metres.
            name: of the image, for messages.

        Raises:
            ConfigError: a pixel is outside the image, or shows no depth.
        """
        output = _output(model, rgb, intrinsics)
        for column, row, depth_m in picks:
            value = output[_place(row, rgb.shape[0], output.shape[0], "row")][
                _place(column, rgb.shape[1], output.shape[1], "column")
            ]
            if not (depth_m > 0.0 and _is_usable(np.array([value]), self.kind)[0]):
                raise ConfigError(
                    f"pixel ({column:g}, {row:g}) at {depth_m:g} m: the model says {value:g} "
                    "there, or the distance is not positive; choose another pixel"
                )
            self._places.append((f"{name} ({column:g}, {row:g})", float(value), depth_m))
            self._outputs.append(np.array([value]))
            self._depths_m.append(np.array([depth_m]))

    def add_frame(
        self, model: DepthModel, rgb: RgbImage, intrinsics: Intrinsics | None, depth_m: DepthImage
    ) -> None:
        """Add pixels of a depth image, which lies on the image; NaN = not measured."""
        output = _output(model, rgb, intrinsics)
        rows = _rows_of(depth_m.shape[0], output.shape[0])
        columns = _rows_of(depth_m.shape[1], output.shape[1])
        truth = depth_m[np.ix_(rows, columns)].astype(np.float64)
        with np.errstate(invalid="ignore"):
            known = np.flatnonzero(
                np.isfinite(truth) & (truth > 0.0) & _is_usable(output, self.kind)
            )
        picked = np.random.default_rng(len(self._outputs)).permutation(known)[:_PER_FRAME]
        self._outputs.append(output.reshape(-1)[picked])
        self._depths_m.append(truth.reshape(-1)[picked])

    def fitted(self) -> FixedScale:
        """Fit factor and shift.

        Pixels of one frame err alike, so with several frames the deviations come from drawing
        frames anew, not from counting pixels.

        Raises:
            ConfigError: there are too few distances, or they do not agree.
        """
        scale = self._fitted(range(len(self._outputs)))
        if len(self._outputs) < _BOOTSTRAP_FROM or scale.samples < 2 * len(self._outputs):
            return scale
        rng = np.random.default_rng(0)
        redrawn = [
            self._fitted(rng.integers(0, len(self._outputs), len(self._outputs)))
            for _ in range(_BOOTSTRAPS)
        ]
        return replace(
            scale,
            factor_sigma=float(np.std([other.factor for other in redrawn])),
            shift_sigma=float(np.std([other.shift for other in redrawn])),
        )

    def worst(self, scale: FixedScale) -> Misfit | None:
        """Return the picked distance that a scale fits worst, None = none were picked."""
        misfits = [
            Misfit(place=place, measured_m=depth_m, fitted_m=self._metres(output, scale))
            for place, output, depth_m in self._places
        ]
        return max(misfits, key=lambda misfit: misfit.error_rel, default=None)

    def _metres(self, output: float, scale: FixedScale) -> float:
        y = max(output * scale.factor + scale.shift, 1e-9)
        return 1.0 / y if self.kind is OutputKind.INVERSE_AFFINE else y

    def _fitted(self, chosen: Iterable[int]) -> FixedScale:
        indices = list(chosen)
        outputs = [self._outputs[i] for i in indices] or [np.empty(0)]
        depths_m = [self._depths_m[i] for i in indices] or [np.empty(0)]
        return fit_fixed(
            np.concatenate(outputs),
            np.concatenate(depths_m),
            self.kind,
            with_shift=self._with_shift,
        )


def fit_fixed(
    outputs: Floats, depths_m: Floats, kind: OutputKind, *, with_shift: bool = True
) -> FixedScale:
    """Fit scale.factor and scale.shift, which are defined on the output itself.

    With six distances and more a minority may be wrong. Models of metres get a shift only
    from then on; others always have one.

    Args:
        outputs: (N,) of the network.
        depths_m: (N,) > 0.
        kind: of the network.
        with_shift: False = fit the factor of a model of metres alone.

    Raises:
        ConfigError: there are too few distances, or they do not agree.
    """
    proportional = kind in METRIC_KINDS
    needed = 1 if proportional else 2
    if outputs.size < needed:
        raise ConfigError(
            f"{outputs.size} distances for a model of {kind.value}: at least {needed} needed"
            + ("" if proportional else ", at different depths")
        )
    is_inverse = kind is OutputKind.INVERSE_AFFINE
    y = 1.0 / depths_m if is_inverse else depths_m
    if outputs.size < _ROBUST_FROM:
        factor, shift, sigma = _least_squares(outputs, y, with_shift=not proportional)
    else:
        points = Points(
            x=outputs, y=y, sigma=np.full(outputs.size, _SIGMA), y_is_depth=not is_inverse
        )
        factor, shift, sigma = _robust(
            points, proportional=proportional, with_shift=with_shift or not proportional
        )
    predicted = outputs * factor + shift
    error = (y / predicted if is_inverse else predicted / y) - 1.0
    return FixedScale(
        factor=factor,
        shift=shift,
        factor_sigma=float(sigma[0]),
        shift_sigma=float(sigma[1]),
        samples=outputs.size,
        error_rel=float(np.median(np.abs(error))),
    )


def as_params_yaml(scale: FixedScale, model: str) -> str:
    """Return a ROS parameter file that makes any node of this package use the scale."""
    return (
        f"# Fitted by `mono-depth calibrate` to {scale.samples} distances with model {model}:\n"
        f"# factor +- {scale.factor_sigma:.2g}, shift +- {scale.shift_sigma:.2g}, "
        f"median error {100.0 * scale.error_rel:.1f} %.\n"
        "# It holds for what the model makes of the image alone: with source fixed the node gives\n"
        "# it neither height and gravity nor sparse points nor sensor depth.\n"
        "/**:\n"
        "  ros__parameters:\n"
        f"    model: {model}\n"
        "    scale:\n"
        "      source: fixed\n"
        f"      factor: {_yaml_float(scale.factor)}\n"
        f"      shift: {_yaml_float(scale.shift)}\n"
    )


def _least_squares(x: Floats, y: Floats, *, with_shift: bool) -> tuple[float, float, Floats]:
    """Minimise the relative errors of a few values that are all believed."""
    design = np.stack((x / y, 1.0 / y), axis=1)[:, : 2 if with_shift else 1]
    solution, _, rank, _ = np.linalg.lstsq(design, np.ones(x.size), rcond=1e-9)
    if rank < design.shape[1]:
        raise ConfigError("the model says the same at all distances: measure at another depth")
    if solution[0] <= 0.0:
        raise ConfigError("the model's output does not grow with the distances as it should")
    freedom = x.size - design.shape[1]
    residual = design @ solution - 1.0
    spread = float(np.sqrt((residual**2).sum() / freedom)) if freedom else _UNKNOWN_SIGMA
    sigma = np.zeros(2)
    sigma[: design.shape[1]] = spread * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    return float(solution[0]), float(solution[1]) if with_shift else 0.0, sigma


def _robust(points: Points, *, proportional: bool, with_shift: bool) -> tuple[float, float, Floats]:
    x = points.x
    lowest, low, middle, high = np.percentile(x, (0.0, 5.0, 50.0, 95.0))
    if not high - low > 1e-6 * abs(middle):
        raise ConfigError("the model says the same at all distances: measure at another depth")
    pivot = Pivot(middle=float(middle), width=float(high - low), lowest=float(lowest))
    shape = IDENTITY if proportional else None
    fit = fit_points(
        points, pivot=pivot, shape=shape, min_points=_ROBUST_FROM // 2, free_slope=with_shift
    )
    if isinstance(fit, Rejection):
        raise ConfigError(f"no scale fits the {x.size} distances: {fit.reason}")
    scale_shift = pivot.scale_shift_of(fit.level, fit.slope)
    if not fit.slope_seen:  # proportional: one number, and so is its deviation
        return (
            scale_shift.gain,
            0.0,
            np.array((scale_shift.gain * np.sqrt(fit.covariance[0, 0]), 0.0)),
        )
    # gain = y slope / width and shift = y (1 - slope middle / width), with y = exp(level)
    level_y = float(np.exp(fit.level))
    by = level_y * np.array(
        (
            (fit.slope / pivot.width, 1.0 / pivot.width),
            (1.0 - fit.slope * pivot.middle / pivot.width, -pivot.middle / pivot.width),
        )
    )
    return (
        scale_shift.gain,
        scale_shift.shift,
        np.asarray(np.sqrt(np.diag(by @ fit.covariance @ by.T))),
    )


def _output(model: DepthModel, rgb: RgbImage, intrinsics: Intrinsics | None) -> Floats:
    with torch.inference_mode():
        values = model.infer(torch.from_numpy(rgb).to(model.device), intrinsics).values
    return values.cpu().numpy().astype(np.float64)


def _is_usable(values: Floats, kind: OutputKind) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    finite = np.isfinite(values)
    return finite & (values > 0.0) if kind in METRIC_KINDS else finite


def _place(pixel: float, size: int, output_size: int, what: str) -> int:
    if not -0.5 <= pixel < size - 0.5:
        raise ConfigError(f"{what} {pixel:g} lies outside the image of {size} {what}s")
    return min(max(round((pixel + 0.5) * output_size / size - 0.5), 0), output_size - 1)


def _rows_of(size: int, output_size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Return the pixel of the image under each pixel of the output."""
    middle = (np.arange(output_size) + 0.5) * size / output_size - 0.5
    return np.rint(middle).astype(np.intp).clip(0, size - 1)


def _yaml_float(value: float) -> str:
    """Return the number with a decimal point: ROS takes a YAML integer for an integer."""
    text = f"{value:.9g}"
    mantissa, exponent, power = text.partition("e")
    return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent + power
