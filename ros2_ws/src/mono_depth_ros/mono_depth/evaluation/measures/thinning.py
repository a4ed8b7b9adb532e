"""Every n-th pixel of images and cameras: measures need no more than a few hundred in a row."""

from __future__ import annotations

from mono_depth.data import Intrinsics

_LONGEST_ROW_PX = 320


def stride_of(width: int) -> int:
    """Return the n that leaves at most 320 pixels of a row."""
    return max(1, -(-width // _LONGEST_ROW_PX))


def thinned_camera(intrinsics: Intrinsics, stride: int) -> Intrinsics:
    """Return the camera of `image[::stride, ::stride]`: its pixel i is pixel i * stride."""
    K = intrinsics
    return Intrinsics(
        width=-(-K.width // stride),
        height=-(-K.height // stride),
        fx=K.fx / stride,
        fy=K.fy / stride,
        cx=K.cx / stride,
        cy=K.cy / stride,
    )
