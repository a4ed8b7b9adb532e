"""Changes to images that a real camera could have caused, on the device of the images.

The renderer has been at them before, with the effects of a sensor; this adds variety.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

_KERNEL = 9  # pixels, of the blurs
_BLOCK = 8  # pixels, of JPEG
# Quantisation of luma at quality 50. Source: ITU-T T.81 (1992), table K.1.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_STEP = 1.6  # coarser by this factor than luma
# JFIF: Y, Cb, Cr of RGB
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))

Floats = npt.NDArray[np.float64]
Change = Callable[[torch.Tensor, np.random.Generator], torch.Tensor]


def random_look(
    images: torch.Tensor, rng: np.random.Generator, noise: torch.Generator
) -> torch.Tensor:
    """Change light, colour, texture, sharpness, noise and compression by chance.

    Args:
        images: (B, 3, h, w) float32, 0..1; sides in multiples of 8.
        rng: decides what is changed and how.
        noise: source of the noise, on the device of the images.

    Returns:
        (B, 3, h, w), 0..1 in steps of 1/255.
    """
    images = images.clone()
    for change, share in ((_filter, 0.25), (_shade, 0.3), (_color, 1.0), (_blur, 0.2)):
        _change_some(images, change, share, rng)
    _change_some(images, lambda part, r: _noise(part, r, noise), 0.3, rng)
    images = (images.clamp(0.0, 1.0) * 255.0).round() / 255.0
    _change_some(images, lambda part, r: _jpeg(part, r.integers(25, 95, len(part))), 0.4, rng)
    return images


def _change_some(
    images: torch.Tensor, change: Change, share: float, rng: np.random.Generator
) -> None:
    chosen = np.flatnonzero(rng.random(len(images)) < share)
    if len(chosen):
        rows = torch.from_numpy(chosen).to(images.device)
        images[rows] = change(images[rows], rng)


def _on(values: Floats, like: torch.Tensor) -> torch.Tensor:
    """Return per-image values, as (B, C) or (B,), in the shape of images."""
    tensor = torch.from_numpy(np.asarray(values, np.float32)).to(like.device)
    return tensor.reshape(len(tensor), -1, 1, 1)


def _filter(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Blend with a random 3x3 filter: shapes stay, texture changes.

    Source: Xu et al., "Robust and Generalizable Visual Representation Learning via Random
    Convolutions", ICLR 2021.
    """
    filtered = _convolved(images, rng.normal(0.0, 1.0, (len(images), 3, 3)))
    sample = filtered[:, :, ::4, ::4].flatten(1)
    low, high = torch.quantile(sample, torch.tensor([0.01, 0.99], device=images.device), dim=1)
    low, high = low[:, None, None, None], high[:, None, None, None]
    filtered = ((filtered - low) / (high - low).clamp(min=1e-3)).clamp(0.0, 1.0)
    return images.lerp(filtered, _on(rng.uniform(0.0, 0.6, len(images)), images))


def _shade(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Lay soft shadows and lights over images."""
    cells = int(rng.integers(2, 7))
    field = rng.uniform(0.1, 0.6, (len(images), 1, 1, 1)) * rng.normal(
        0.0, 1.0, (len(images), 1, cells, cells)
    )
    coarse = torch.from_numpy(field.astype(np.float32)).to(images.device)
    smooth = F.interpolate(coarse, images.shape[2:], mode="bicubic", align_corners=True)
    return images * smooth.exp()


def _color(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    n = len(images)
    images = images * _on(rng.uniform(0.8, 1.25, (n, 3)), images)  # white balance
    orders = [rng.permutation(3) if rng.random() < 0.1 else np.arange(3) for _ in range(n)]
    order = torch.from_numpy(np.array(orders)).to(images.device)
    images = images.gather(1, order[:, :, None, None].expand_as(images))
    grey = images.mean(1, keepdim=True)
    saturation = np.where(rng.random(n) < 0.1, 0.0, rng.uniform(0.4, 1.5, n))
    images = grey + (images - grey) * _on(saturation, images)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    images = middle + (images - middle) * _on(rng.uniform(0.7, 1.3, n), images)
    images = images.clamp(0.0, 1.5) * _on(2.0 ** rng.uniform(-0.7, 0.5, n), images)  # exposure
    return images.clamp(1e-4, 1.0) ** _on(rng.uniform(0.7, 1.4, n), images)


def _blur(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    kernels = [_streak(rng) if rng.random() < 0.3 else _spot(rng) for _ in range(len(images))]
    return _convolved(images, np.array(kernels))


def _streak(rng: np.random.Generator) -> Floats:
    """Return the blur of a moving camera."""
    length, angle = rng.uniform(2.0, 8.0), rng.uniform(0.0, np.pi)
    steps = np.linspace(-length / 2, length / 2, 33)
    middle = _KERNEL // 2
    rows = np.rint(middle + steps * np.sin(angle)).astype(int)
    columns = np.rint(middle + steps * np.cos(angle)).astype(int)
    kernel = np.zeros((_KERNEL, _KERNEL))
    kernel[rows, columns] = 1.0
    return np.asarray(kernel / kernel.sum())


def _spot(rng: np.random.Generator) -> Floats:
    """Return the blur of a lens out of focus."""
    place = np.arange(_KERNEL) - _KERNEL // 2
    bell = np.exp(-0.5 * (place / rng.uniform(0.3, 1.3)) ** 2)
    kernel = np.outer(bell, bell)
    return np.asarray(kernel / kernel.sum())


def _convolved(images: torch.Tensor, kernels: Floats) -> torch.Tensor:
    """Filter each image with its own kernel."""
    n, _, height, width = images.shape
    half = kernels.shape[-1] // 2
    padded = F.pad(images, (half, half, half, half), mode="replicate")
    weight = torch.from_numpy(kernels.astype(np.float32)).to(images.device)
    weight = weight[:, None].repeat_interleave(3, 0)
    flat = padded.reshape(1, 3 * n, height + 2 * half, width + 2 * half)
    return F.conv2d(flat, weight, groups=3 * n).reshape(images.shape)


def _noise(images: torch.Tensor, rng: np.random.Generator, noise: torch.Generator) -> torch.Tensor:
    """Add shot noise, which grows with light, and read noise, which does not."""
    shot = _on(rng.uniform(0.0, 0.04, len(images)), images)
    read = _on(rng.uniform(0.0, 0.03, len(images)), images)
    sigma = (shot**2 * images.clamp(0.0, 1.0) + read**2).sqrt()
    return images + sigma * torch.randn(images.shape, generator=noise, device=images.device)


def _jpeg(images: torch.Tensor, quality: npt.NDArray[np.int64]) -> torch.Tensor:
    """Return what JPEG of a quality, 1..99, leaves of the images."""
    n, _, height, width = images.shape
    to_ycc = torch.tensor(_TO_YCC, device=images.device)
    ycc = torch.einsum("ij,bjhw->bihw", to_ycc, images * 255.0)
    coarse = F.avg_pool2d(ycc[:, 1:], 2)
    ycc = torch.cat((ycc[:, :1] - 128.0, F.interpolate(coarse, scale_factor=2.0)), 1)
    blocks = ycc.reshape(n, 3, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    basis = _cosines().to(images.device)
    waves = torch.einsum("ip,bcypxq,jq->bcyixj", basis, blocks, basis)
    scale = np.where(quality < 50, 50.0 / quality, 2.0 - quality / 50.0)
    table = torch.tensor(_LUMA, dtype=torch.float32, device=images.device)
    steps = (table * _on(scale, images)[:, 0]).round().clamp(1.0, 255.0)  # (n, 8, 8)
    steps = torch.stack((steps, _CHROMA_STEP * steps, _CHROMA_STEP * steps), 1)
    steps = steps[:, :, None, :, None, :]
    waves = (waves / steps).round() * steps
    blocks = torch.einsum("ip,bcyixj,jq->bcypxq", basis, waves, basis)
    ycc = blocks.reshape(n, 3, height, width)
    ycc = torch.cat((ycc[:, :1] + 128.0, ycc[:, 1:]), 1)
    rgb = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(to_ycc), ycc)
    return (rgb.round() / 255.0).clamp(0.0, 1.0)


def _cosines() -> torch.Tensor:
    """Return the 8x8 matrix of the discrete cosine transform."""
    place, wave = np.meshgrid(np.arange(_BLOCK), np.arange(_BLOCK))
    matrix = 0.5 * np.cos((2 * place + 1) * wave * np.pi / (2 * _BLOCK))
    matrix[0] /= np.sqrt(2.0)
    return torch.from_numpy(matrix.astype(np.float32))
