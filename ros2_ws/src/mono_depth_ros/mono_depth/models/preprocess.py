"""From camera pixels to the input of a network: size rule, resize, normalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, floor, sqrt

import torch
import torch.nn.functional as F

from mono_depth.errors import ConfigError, FrameError

SIZE_RULES = ("fixed", "lower_bound", "upper_bound", "longest", "minimal", "area")
INTERPOLATIONS = ("bilinear", "bicubic", "antialias", "area")

# A 1x2000 image under lower_bound 518 would ask for 518x1036000 pixels.
_MAX_ELONGATION = 16


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a network wants to see. Values are given for RGB in 0..1.

    Rules, all but `fixed` keep the aspect ratio up to rounding to `multiple_of`:
    `fixed` is width x height whatever the image; `lower_bound` covers width x height;
    `upper_bound` fits into it; `longest` does so too, but is as large as that before it is resized
    once more, to multiples; `minimal` matches the side that needs the least scaling; `area`
    has as many pixels.

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

    def __post_init__(self) -> None:
        if self.rule not in SIZE_RULES:
            raise ConfigError(f"input rule {self.rule!r} is not one of {', '.join(SIZE_RULES)}")
        if self.interpolation not in INTERPOLATIONS:
            known = ", ".join(INTERPOLATIONS)
            raise ConfigError(f"interpolation {self.interpolation!r} is not one of {known}")
        if self.multiple_of < 1 or min(self.width, self.height) < self.multiple_of:
            size = f"{self.width}x{self.height}"
            raise ConfigError(f"input of {size} pixels in multiples of {self.multiple_of}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0.0:
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


def image_planes(rgb: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return an (H, W, 3) uint8 image as (1, 3, H, W) float32, 0..255, on `device`.

    Raises:
        FrameError: `rgb` is not such an image.
    """
    if rgb.dtype != torch.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.numel() == 0:
        raise FrameError(
            f"image of shape {tuple(rgb.shape)} {rgb.dtype}, expected (H, W, 3) torch.uint8"
        )
    return rgb.to(device).permute(2, 0, 1)[None].float()


class Preprocess:
    """Turns camera images into network input on one device."""

    def __init__(self, spec: InputSpec, device: torch.device) -> None:
        self.spec = spec
        std = torch.tensor(spec.std, dtype=torch.float64).view(1, 3, 1, 1)
        mean = torch.tensor(spec.mean, dtype=torch.float64).view(1, 3, 1, 1)
        # (rgb / 255 - mean) / std as one multiply-add
        self._factor = (1.0 / (255.0 * std)).to(device, torch.float32)
        self._offset = (-mean / std).to(device, torch.float32)

    def __call__(self, rgb: torch.Tensor) -> torch.Tensor:
        """Resize and normalise one image.

        Args:
            rgb: (H, W, 3) uint8 on any device.

        Returns:
            (1, 3, h, w) float32 on this object's device.

        Raises:
            FrameError: `rgb` is not such an image, or too elongated.
        """
        planes = image_planes(rgb, self._factor.device)
        height, width = rgb.shape[:2]
        net_width, net_height = self.spec.size_for(width, height)
        if self.spec.rule == "longest":
            before = self.spec.size_before_multiples(width, height)
            planes = self._resized(planes, before[1], before[0])
        planes = self._resized(planes, net_height, net_width)
        return torch.addcmul(self._offset, planes, self._factor)

    def batch(self, rgb: torch.Tensor) -> torch.Tensor:
        """Resize and normalise several images: to the bit what each alone becomes.

        Args:
            rgb: (B, H, W, 3) uint8 on any device.

        Returns:
            (B, 3, h, w) float32 on this object's device.

        Raises:
            FrameError: an image is too elongated.
        """
        return torch.cat([self(image) for image in rgb])

    def _resized(self, planes: torch.Tensor, height: int, width: int) -> torch.Tensor:
        if planes.shape[-2:] == (height, width):
            return planes
        kind = self.spec.interpolation
        if kind == "area" and planes.shape[-2] >= height and planes.shape[-1] >= width:
            rows = _area_weights(planes.shape[-2], height, planes.device)
            columns = _area_weights(planes.shape[-1], width, planes.device)
            return rows @ planes @ columns.T
        if kind == "antialias":
            return F.interpolate(planes, (height, width), mode="bilinear", antialias=True)
        # Not antialiased: equals cv2.INTER_LINEAR and cv2.INTER_CUBIC, which the
        # published networks were trained and measured with.
        mode = "bicubic" if kind == "area" else kind
        if mode == "bicubic":
            planes = planes.contiguous()  # twice as fast as channels last
        return F.interpolate(planes, (height, width), mode=mode, align_corners=False)


@lru_cache(maxsize=8)
def _area_weights(before: int, after: int, device: torch.device) -> torch.Tensor:
    """Return the (after, before) share of each old pixel in the mean that is a new one."""
    edges = torch.arange(after + 1, dtype=torch.float64) * (before / after)
    pixels = torch.arange(before, dtype=torch.float64)
    ends = torch.minimum(edges[1:, None], pixels + 1.0)
    overlap = (ends - torch.maximum(edges[:-1, None], pixels)).clamp(min=0.0)
    return (overlap * (after / before)).float().to(device)
