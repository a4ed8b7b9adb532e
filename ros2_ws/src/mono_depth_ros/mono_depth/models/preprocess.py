"""From camera pixels to the input of a network: resize and normalisation."""

from __future__ import annotations

import logging
from functools import lru_cache

import torch
import torch.nn.functional as F

from mono_depth.errors import FrameError
from mono_depth.models.input_spec import InputSpec

_LOG = logging.getLogger(__name__)
_TOLD_WORK = 2.0  # times that of a square image, or of one of the shape that the spec names


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
        self._mean = (255.0 * mean).to(device, torch.float32)
        self._is_bgr = spec.channels == "bgr"
        self._told_size: tuple[int, int] | None = None

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
        self._tell_work((width, height), (net_width, net_height))
        if self.spec.rule == "longest":
            before = self.spec.size_before_multiples(width, height)
            planes = self._resized(planes, before[1], before[0])
        if self.spec.fit == "letterbox":
            planes = self._in_letterbox(planes)
        planes = self._resized(planes, net_height, net_width)
        image = torch.addcmul(self._offset, planes, self._factor)
        return image.flip(1) if self._is_bgr else image

    def _tell_work(self, size: tuple[int, int], net_size: tuple[int, int]) -> None:
        """Say once that the shape of an image makes the network's work much larger."""
        times = net_size[0] * net_size[1] / (self.spec.width * self.spec.height)
        if times > _TOLD_WORK and size != self._told_size:
            self._told_size = size
            _LOG.warning(
                "an image of %dx%d is %dx%d for the network, %.1f times its usual work: crop it, "
                "or set input_size",
                *(*size, *net_size, times),
            )

    def _in_letterbox(self, planes: torch.Tensor) -> torch.Tensor:
        height, width = planes.shape[-2:]
        left, top, shown_width, shown_height = self.spec.place_in_letterbox(width, height)
        box = self._mean.expand(1, 3, self.spec.height, self.spec.width).clone()
        box[..., top : top + shown_height, left : left + shown_width] = self._resized(
            planes, shown_height, shown_width
        )
        return box

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


def without_letterbox(
    values: torch.Tensor, spec: InputSpec, width: int, height: int
) -> torch.Tensor:
    """Return what of an output shows the image.

    Args:
        values: (h, w) in any resolution of the network's field of view.
        spec: of the network's input.
        width: of the image before it became that.
        height: of the image before it became that.
    """
    if spec.fit != "letterbox":
        return values
    left, top, shown_width, shown_height = spec.place_in_letterbox(width, height)
    along_y, along_x = values.shape[0] / spec.height, values.shape[1] / spec.width
    first_row, first_column = round(top * along_y), round(left * along_x)
    last_row = max(first_row + 1, round((top + shown_height) * along_y))
    last_column = max(first_column + 1, round((left + shown_width) * along_x))
    return values[first_row:last_row, first_column:last_column]


@lru_cache(maxsize=8)
def _area_weights(before: int, after: int, device: torch.device) -> torch.Tensor:
    """Return the (after, before) share of each old pixel in the mean that is a new one."""
    edges = torch.arange(after + 1, dtype=torch.float64) * (before / after)
    pixels = torch.arange(before, dtype=torch.float64)
    ends = torch.minimum(edges[1:, None], pixels + 1.0)
    overlap = (ends - torch.maximum(edges[:-1, None], pixels)).clamp(min=0.0)
    return (overlap * (after / before)).float().to(device)
