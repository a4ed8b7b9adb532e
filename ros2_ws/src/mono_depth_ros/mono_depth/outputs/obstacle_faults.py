"""When depth is too little known for a robot to steer by it."""

from __future__ import annotations

from torch.nn import functional

from mono_depth.outputs.obstacle_view import ObstacleView

_BLOCKS_PER_WIDTH = 40  # an unknown patch two blocks wide is found wherever it lies
_WHOLLY = 0.99


def unknown_share(seen: ObstacleView) -> float:
    """Return which share of the rays that come through the band of obstacles is unknown, 0..1."""
    needed = int(seen.view.is_needed.sum())
    return int((seen.is_unknown & seen.view.is_needed).sum()) / needed if needed else 1.0


def fault_of(seen: ObstacleView) -> str:
    """Return why neither scan nor obstacles may be given, "" = they may.

    A robot takes silence for a fault and stops; it takes an empty message for a free way.
    """
    share, most = unknown_share(seen), seen.config.max_unknown
    if not bool(seen.view.is_needed.any()):
        return "the camera sees nothing of the heights of scan.min_height_m to max_height_m"
    if share > most:
        return f"{100 * share:.0f} % of the view has no depth, scan.max_unknown is {most:g}"
    if seen.config.corridor_width_m > 0.0 and _has_hole(seen):
        return (
            "there is no depth in a part of the robot's way "
            f"({seen.config.corridor_width_m:g} x {seen.config.corridor_length_m:g} m ahead)"
        )
    return ""


def _has_hole(seen: ObstacleView) -> bool:
    """Tell whether a patch of the robot's corridor is wholly unknown."""
    hole = seen.is_unknown & seen.view.in_corridor
    height, width = hole.shape
    side = max(1, width // _BLOCKS_PER_WIDTH)
    if int(hole.sum()) < side * side:
        return False
    side = min(side, height)
    blocks = functional.avg_pool2d(hole[None, None].float(), side, stride=side)
    return bool((blocks > _WHOLLY).any())
