"""How far an affine point map is from the camera.

A network that says points up to a shift along the axis leaves one number open: the shift with
which the points project onto the pixels that they belong to.

Source: Wang et al., "MoGe", CVPR 2025, section 3.1; microsoft/MoGe
`moge/utils/geometry_numpy.py` (0744441), which solves the same with scipy on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

_STEPS = 20
_FIRST_DAMPING = 1e-3


@dataclass(frozen=True, kw_only=True)
class _Misfit:
    """Sum of squares at one shift, and how it changes."""

    cost: torch.Tensor
    slope: torch.Tensor
    curvature: torch.Tensor  # of Gauss and Newton


def shift_of(
    points: torch.Tensor, uv: torch.Tensor, is_valid: torch.Tensor, focal: float | None
) -> torch.Tensor:
    """Find the shift along z with which points project onto their pixels.

    Minimises the sum of |focal * xy / (z + shift) - uv|^2 by damped Gauss-Newton steps. Their
    number is fixed, so that a GPU never waits for the CPU.

    Args:
        points: (N, 3) up to a shift along z.
        uv: (N, 2) places of their pixels, from the centre of the image.
        is_valid: (N,) bool, which of them count.
        focal: focal length in the unit of `uv`; None = the best one at each shift.

    Returns:
        Scalar, float64; 0 if fewer than two points count.
    """
    weight = is_valid.double()[:, None]
    xy, z, uv = points[:, :2].double(), points[:, 2:].double(), uv.double()
    shift = torch.zeros((), dtype=torch.float64, device=points.device)
    damping = torch.full_like(shift, _FIRST_DAMPING)
    here = _misfit(xy, z, uv, weight, shift, focal)
    for _ in range(_STEPS):
        step = here.slope / (here.curvature * (1.0 + damping)).clamp(min=1e-300)
        there = _misfit(xy, z, uv, weight, shift - step, focal)
        is_better = there.cost < here.cost  # also False for NaN
        shift = torch.where(is_better, shift - step, shift)
        damping = torch.where(is_better, 0.1 * damping, 10.0 * damping)
        here = _Misfit(
            cost=torch.where(is_better, there.cost, here.cost),
            slope=torch.where(is_better, there.slope, here.slope),
            curvature=torch.where(is_better, there.curvature, here.curvature),
        )
    return torch.where(weight.sum() < 2.0, torch.zeros_like(shift), shift)


def _misfit(
    xy: torch.Tensor,
    z: torch.Tensor,
    uv: torch.Tensor,
    weight: torch.Tensor,
    shift: torch.Tensor,
    focal: float | None,
) -> _Misfit:
    projected = xy / (z + shift)
    change = -projected / (z + shift)  # with the shift
    if focal is None:
        square = (weight * projected**2).sum()
        product = (weight * projected * uv).sum()
        best = product / square
        best_change = (weight * change * uv).sum() / square - 2.0 * product * (
            weight * projected * change
        ).sum() / square**2
        error = best * projected - uv
        jacobian = best_change * projected + best * change
    else:
        error = focal * projected - uv
        jacobian = focal * change
    return _Misfit(
        cost=(weight * error**2).sum(),
        slope=(weight * jacobian * error).sum(),
        curvature=(weight * jacobian**2).sum(),
    )
