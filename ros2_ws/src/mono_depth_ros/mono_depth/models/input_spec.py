"""What a network wants to see: the size rule, the resize and the normalisation of its input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor, isfinite, sqrt

from mono_depth.errors import ConfigError, FrameError

SIZE_RULES = ("fixed", "lower_bound", "upper_bound", "longest", "minimal", "area")
INTERPOLATIONS = ("bilinear", "bicubic", "antialias", "area")
FITS = ("stretch", "letterbox")
CHANNELS = ("rgb", "bgr")
LAYOUTS = ("auto", "nchw", "nhwc")
_MAX_SIDE = 16384  # pixels

# A 1x2000 image under lower_bound 518 would ask for 518x1036000 pixels.
_MAX_ELONGATION = 16


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a network wants to see. Values are given for RGB in 0..1, whatever `channels` says.

    Rules, all but `fixed` keep the aspect ratio up to rounding to `multiple_of`:
    `fixed` is width x height whatever the image; `lower_bound` covers width x height;
    `upper_bound` fits into it; `longest` does so too, but is as large as that before it is resized
    once more, to multiples; `minimal` matches the side that needs the least scaling; `area`
    has as many pixels.

    With `fixed`, `fit` says what becomes of another aspect ratio: `stretch` distorts the image,
    `letterbox` keeps its shape and fills the rest with `mean`, which is cut off the depth again.

    Interpolations: `bilinear` and `bicubic` look at the nearest pixels only; `antialias` is
    bilinear over a window as wide as the scaling; `area` is the mean over the area of the pixel,
    or bicubic where the image is enlarged.

    Source: MiDaS `midas/transforms.py` Resize, used by DPT and Depth Anything; `area` rule: MoGe
    `moge/model/v2.py` forward; `longest` and `area` interpolation (OpenCV INTER_AREA): Depth
    Anything 3 `utils/io/input_processor.py`.
    """

    width: int  # pixels
    height: int  # pixels
    rule: str = "fixed"
    multiple_of: int = 1
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fit: str = "stretch"
    channels: str = "rgb"  # their order
    layout: str = "auto"  # onnx: order of the axes; auto = as the file says, else nchw

    def __post_init__(self) -> None:
        for what, value, known in (
            ("input rule", self.rule, SIZE_RULES),
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("fit", self.fit, FITS),
            ("channels", self.channels, CHANNELS),
            ("layout", self.layout, LAYOUTS),
        ):
            if value not in known:
                raise ConfigError(f"{what} {value[:80]!r} is not one of {', '.join(known)}")
        sides = (self.width, self.height)
        if self.multiple_of < 1 or min(sides) < self.multiple_of or max(sides) > _MAX_SIDE:
            size = f"{self.width}x{self.height}"
            raise ConfigError(
                f"input of {size} pixels in multiples of {self.multiple_of}, expected sides of at "
                f"least one multiple and at most {_MAX_SIDE}"
            )
        if self.fit == "letterbox" and self.rule != "fixed":
            raise ConfigError(f"fit letterbox is for rule fixed: {self.rule} keeps the shape")
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(isfinite, numbers)):
            raise ConfigError(f"mean {self.mean} and std {self.std} must be 3 numbers each")
        if min(self.std) <= 0.0:
            raise ConfigError(f"mean {self.mean} and std {self.std} must be 3 values each, std > 0")

    def with_short_side(self, pixels: int) -> InputSpec:
        """Return this spec scaled so that its shorter side is `pixels` long."""
        scale = pixels / min(self.width, self.height)
        width, height = round(self.width * scale), round(self.height * scale)
        return replace(self, width=width, height=height)

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the network's input for an image of that size.

        Raises:
            FrameError: the image is so elongated that its input would be huge.
        """
        if self.rule == "fixed":
            return self.width, self.height
        if self.rule == "longest":
            before = self.size_before_multiples(width, height)
            # ties go up, where those of the other rules go to even multiples
            return self._nearest_multiple(before[0]), self._nearest_multiple(before[1])
        scale_x, scale_y = self.width / width, self.height / height
        if self.rule == "area":
            scale = sqrt(scale_x * scale_y)
        elif self.rule == "lower_bound":
            scale = max(scale_x, scale_y)
        elif self.rule == "upper_bound":
            scale = min(scale_x, scale_y)
        else:
            scale = min(scale_y, scale_x, key=lambda factor: abs(1.0 - factor))
        size = self._side(scale * width, self.width), self._side(scale * height, self.height)
        if size[0] * size[1] > _MAX_ELONGATION * self.width * self.height:
            raise FrameError(
                f"an image of {width}x{height} would need a network input of {size[0]}x{size[1]}; "
                f"crop it to an aspect ratio below {_MAX_ELONGATION}"
            )
        return size

    def place_in_letterbox(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, width and height of an image of that size in the network's input."""
        scale = min(self.width / width, self.height / height)
        shown_width = min(self.width, max(1, round(width * scale)))
        shown_height = min(self.height, max(1, round(height * scale)))
        left, top = (self.width - shown_width) // 2, (self.height - shown_height) // 2
        return left, top, shown_width, shown_height

    def stretch_for(self, width: int, height: int) -> float:
        """Return by which factor an image of that size is distorted, 1 = not at all."""
        if self.fit == "letterbox":
            return 1.0
        net_width, net_height = self.size_for(width, height)
        ratio = (net_width / width) / (net_height / height)
        return max(ratio, 1.0 / ratio)

    def size_before_multiples(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the image at which rule `longest` looks for multiples."""
        scale = min(self.width / width, self.height / height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _nearest_multiple(self, pixels: int) -> int:
        step = self.multiple_of
        return max(step, (2 * pixels + step) // (2 * step) * step)

    def _side(self, pixels: float, bound: int) -> int:
        step = self.multiple_of
        side = round(pixels / step) * step
        if self.rule == "lower_bound" and side < bound:
            side = ceil(pixels / step) * step
        if self.rule == "upper_bound" and side > bound:
            side = floor(pixels / step) * step
        return max(side, step)
