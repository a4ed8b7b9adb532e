"""Builds the int8 engine of a model and measures what it costs in accuracy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import torch
from tqdm import tqdm

from mono_depth.data import Intrinsics, RgbImage
from mono_depth.engines import openvino_engine
from mono_depth.engines.cache import EngineCache, write_notes
from mono_depth.engines.capture import Capture
from mono_depth.engines.engines import Engines
from mono_depth.engines.protocol import OPENVINO_FILE, Plan
from mono_depth.engines.quantise import Arrays, quantise
from mono_depth.engines.settings import DEFAULT_MAX_ERROR
from mono_depth.engines.trial_images import trial_images
from mono_depth.models.loading import load_model
from mono_depth.models.protocol import DepthModel, LoadedModel
from mono_depth.models.store.registry import read_registry, with_short_side
from mono_depth.recordings.image_set import ImageSet
from mono_depth.system.machine import device_name

_CPU = torch.device("cpu")
_INT8 = Plan(engine="openvino", precision="int8")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which model is built, with what."""

    model: str
    registry: Path | None = None
    weights_folder: Path | None = None
    allow_noncommercial: bool = False
    input_size: int = 0
    max_error: float = DEFAULT_MAX_ERROR

    def load(self, engines: Engines | None = None, device: torch.device = _CPU) -> LoadedModel:
        """Load the model; without `engines` PyTorch runs it in fp32."""
        return load_model(
            self.model,
            device=device,
            registry=self.registry,
            weights_folder=self.weights_folder,
            allow_noncommercial=self.allow_noncommercial,
            input_size=self.input_size or None,
            engines=engines,
        )

    def capture(self, model: LoadedModel) -> Capture:
        """Return what shows how `model`, loaded by `load`, calls its network."""
        entry = read_registry(self.registry)[model.name]
        return Capture(model, with_short_side(entry, self.input_size))

    def cache(self) -> EngineCache:
        """Return where its engines are stored."""
        return EngineCache(self.weights_folder / "engines" if self.weights_folder else None)


@dataclass(frozen=True, kw_only=True)
class Int8Report:
    """What was built, and what it costs."""

    model: str
    shapes: str  # of the network's input
    calibrated_with: str
    images: int  # it was calibrated with
    held_out: int  # it was measured with
    unreadable: int
    layers: int
    float_layers: int
    searched: bool  # for layers to take back
    network_error: float  # of the network's outputs, in shares of their ranges
    relative_error: float  # mean |int8 / fp32 - 1| of what the model says; NaN if refused
    aligned_error: float  # the same after the median ratio of each image, the scale, is out
    refused: str  # why the check against the original does not let it run, "" = it does


def build_int8(request: Request, image_set: ImageSet) -> tuple[Path, Int8Report]:
    """Quantise a model for the size of `image_set`, store it, and measure it.

    An engine that was stored for that size before is replaced.

    Returns:
        The folder of the engine; and its report, which lies there, too.

    Raises:
        EngineError: a package is missing, or the model cannot be quantised.
        ModelError: the model is unknown, or its weights are missing.
    """
    openvino_engine.check("int8", _CPU)
    model = request.load()
    capture = request.capture(model)
    seen, unseen = image_set.split()
    # A network that only knows rooms in int8 fails in a street: ranges cover both.
    calibration = _Inputs([*seen, *_of_all_kinds(image_set.size)], capture, image_set.camera)
    held_out = _Inputs(unseen, capture, image_set.camera)
    network = capture.network(calibration.arguments(0))
    made = quantise(network, calibration, held_out, max_error=request.max_error)
    cache = request.cache()
    key = network.key(_INT8, device_name(_CPU), openvino_engine.versions())
    cache.remove(key)
    folder = cache.put(key, lambda folder: _save(made.model, folder / OPENVINO_FILE))
    refused, relative, aligned = _measured(request, model, held_out.images, image_set.camera)
    report = Int8Report(
        model=model.name,
        shapes=network.shapes,
        calibrated_with=image_set.source,
        images=len(seen),
        held_out=len(held_out),
        unreadable=image_set.unreadable,
        layers=made.layers,
        float_layers=made.float_layers,
        searched=made.searched,
        network_error=made.error,
        relative_error=relative,
        aligned_error=aligned,
        refused=refused,
    )
    write_notes(folder, asdict(report))
    return folder, report


def int8_model(request: Request) -> tuple[DepthModel, Engines]:
    """Load the model with its int8 engine under it, as the node does."""
    engines = Engines(
        engine=_INT8.engine,
        precision=_INT8.precision,
        device=_CPU,
        weights_folder=request.weights_folder,
    )
    model = request.load(engines)
    engines.prepare(model)
    return model, engines


class _Inputs(Sequence[Arrays]):
    """What the network is called with for each image, computed when asked for."""

    def __init__(self, images: list[RgbImage], capture: Capture, camera: Intrinsics | None) -> None:
        self.images = images
        self._capture, self._camera = capture, camera

    def arguments(self, index: int) -> tuple[object, ...]:
        return self._capture.arguments(self.images[index], self._camera)

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, index: int) -> Arrays: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Arrays]: ...
    def __getitem__(self, index: int | slice) -> Arrays | Sequence[Arrays]:
        if isinstance(index, slice):
            return [self[item] for item in range(*index.indices(len(self)))]
        given = self.arguments(index)
        return [item.numpy() for item in given if isinstance(item, torch.Tensor)]


def _of_all_kinds(size: tuple[int, int]) -> list[RgbImage]:
    """Return the images that engines are checked on, and their mirror images."""
    images = [np.asarray(cv2.resize(rgb, size), np.uint8) for rgb in trial_images()]
    return [*images, *(np.ascontiguousarray(image[:, ::-1]) for image in images)]


def _save(model: Any, path: Path) -> None:  # noqa: ANN401 - openvino.Model
    import openvino

    openvino.save_model(model, path, compress_to_fp16=False)


def _measured(
    request: Request, reference: DepthModel, images: list[RgbImage], camera: Intrinsics | None
) -> tuple[str, float, float]:
    """Return why the engine is refused, the relative error, and that without the scale."""
    model, engines = int8_model(request)
    relative, aligned = [], []
    try:
        model.infer(torch.from_numpy(images[0]), camera)
        taken = engines.reports()
        refused = "; ".join(item for report in taken for item in report.refused)
        if refused:  # the original runs in its place
            return refused, float("nan"), float("nan")
        for rgb in tqdm(images, desc="measuring", unit="picture", file=sys.stderr):
            image = torch.from_numpy(rgb)
            true = reference.infer(image, camera).values.numpy()
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = model.infer(image, camera).values.numpy() / true
            ratio = ratio[np.isfinite(ratio) & (true > 0.0)]
            if ratio.size:
                relative.append(float(np.abs(ratio - 1.0).mean()))
                aligned.append(float(np.abs(ratio / np.median(ratio) - 1.0).mean()))
    finally:
        engines.close()
    if not relative:
        return "", float("nan"), float("nan")
    return "", float(np.mean(relative)), float(np.mean(aligned))
