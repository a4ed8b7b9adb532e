"""The inputs and outputs of ONNX files: what they take and give, in the forms that people export.

Images go in as (1, 3, h, w), (1, h, w, 3), (3, h, w), (h, w, 3) or (1, 1, 3, h, w), in float32,
float16, float64 or as uint8 pixels. Depth comes out with axes of length 1 in any place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mono_depth.data import Intrinsics
from mono_depth.errors import ModelError
from mono_depth.models.input_spec import InputSpec
from mono_depth.models.store.registry import ModelEntry

_INPUT_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
    "tensor(uint8)": torch.uint8,
}
_OUTPUT_TYPES = (
    *("tensor(float)", "tensor(float16)", "tensor(double)"),
    *("tensor(uint8)", "tensor(uint16)", "tensor(int8)", "tensor(int16)"),
    *("tensor(int32)", "tensor(int64)"),
)
_MOST_STRETCH = 1.3  # of a map against the network's input; rounding takes some of a small one
_PIXELS = (0.0, 0.0, 0.0), (1.0 / 255.0,) * 3  # mean and std that leave 0..255


@dataclass(frozen=True, kw_only=True)
class ImagePort:
    """The input that takes the image."""

    name: str
    dtype: torch.dtype
    is_nhwc: bool
    rank: int

    def fitted(self, images: torch.Tensor) -> torch.Tensor:
        """Return the (B, 3, h, w) float32 input in the form that the file takes."""
        if self.dtype is torch.uint8:
            images = images.round().clamp(0.0, 255.0)
        images = images.to(self.dtype)
        if self.is_nhwc:
            images = images.permute(0, 2, 3, 1)
        if self.rank == 3:
            images = images[0]
        elif self.rank == 5:
            images = images[None]
        return images.contiguous()


@dataclass(frozen=True, kw_only=True)
class CameraPort:
    """The input that takes the camera of the network's image, in its pixels."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]  # (..., 3, 3) = K, (..., 4) = fx fy cx cy, else the focal length

    def tensor(self, camera: Intrinsics) -> torch.Tensor:
        """Return what stands for `camera`."""
        if self.shape[-2:] == (3, 3):
            values = torch.from_numpy(camera.matrix())
        elif self.shape[-1:] == (4,):
            values = torch.tensor([camera.fx, camera.fy, camera.cx, camera.cy])
        else:
            values = torch.tensor([(camera.fx * camera.fy) ** 0.5])
        return values.to(self.dtype).reshape(self.shape)


def image_port(session: Any, entry: ModelEntry, spec: InputSpec) -> ImagePort:  # noqa: ANN401
    """Return the image input of a session after checking that it takes what `spec` makes.

    Raises:
        ModelError: it does not; with the way out.
    """
    inputs = [node for node in session.get_inputs() if node.name != entry.camera_input]
    node = _picked(inputs, entry.input_name, f"{entry.name}: input")
    others = [other.name for other in inputs if other.name != node.name]
    if others:
        raise ModelError(
            f"{entry.name}: the network has further inputs: {', '.join(others)}; camera_input in "
            "the registry entry names one that takes the camera, export it without the others"
        )
    where = f"{entry.name}: input {node.name}"
    dtype = _INPUT_TYPES.get(node.type)
    if dtype is None or not 3 <= len(node.shape) <= 5:
        raise ModelError(
            f"{where} is {node.type} {node.shape}, expected tensor(float) [1, 3, height, width] "
            "or one of: [1, height, width, 3], without the 1, with another 1; tensor(float16), "
            "tensor(uint8)"
        )
    if dtype is torch.uint8 and (spec.mean, spec.std) not in (_PIXELS, _default_norm()):
        raise ModelError(f"{where} takes pixels of 0..255 (uint8): leave mean and std out")
    *leading, first, _, last = node.shape
    is_nhwc = spec.layout == "nhwc" or (spec.layout == "auto" and last == 3 and first != 3)
    core = [spec.height, spec.width] if spec.rule == "fixed" else [None, None]
    wanted = [*(1 for _ in leading), *([*core, 3] if is_nhwc else [3, *core])]
    for given, want in zip(node.shape, wanted, strict=True):
        if want is not None and not is_free(given) and given != want:
            made = "x".join(str(side or "?") for side in wanted)
            raise ModelError(
                f"{where} has shape {node.shape}, but the registry entry makes {made} "
                f"({spec.rule}): set width, height and layout of its `input` so, or export the "
                "network for one RGB image, with free axes for other sizes"
            )
    return ImagePort(name=str(node.name), dtype=dtype, is_nhwc=is_nhwc, rank=len(node.shape))


def spec_for(port: ImagePort, spec: InputSpec) -> InputSpec:
    """Return what the image is to be made for a port: uint8 takes pixels as they are."""
    if port.dtype is not torch.uint8:
        return spec
    return replace(spec, mean=_PIXELS[0], std=_PIXELS[1])


def _default_norm() -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def camera_port(session: Any, entry: ModelEntry) -> CameraPort | None:  # noqa: ANN401
    """Return the input that takes the camera, None where the entry names none.

    Raises:
        ModelError: there is no such input, or it takes something else.
    """
    if not entry.camera_input:
        return None
    node = _picked(session.get_inputs(), entry.camera_input, f"{entry.name}: camera_input")
    shape = tuple(1 if is_free(side) else int(side) for side in node.shape)
    dtype = _INPUT_TYPES.get(node.type)
    is_known = shape[-2:] == (3, 3) or shape[-1:] == (4,) or all(side == 1 for side in shape)
    extra = shape[:-2] if shape[-2:] == (3, 3) else shape[:-1]
    if dtype in (None, torch.uint8) or not is_known or any(side != 1 for side in extra):
        raise ModelError(
            f"{entry.name}: camera_input {node.name} is {node.type} {node.shape}, expected floats: "
            "[3, 3] (K), [4] (fx fy cx cy) or [1] (the focal length), in pixels of the input"
        )
    return CameraPort(name=str(node.name), dtype=dtype, shape=shape)


def output_port(session: Any, entry: ModelEntry) -> tuple[str, bool]:  # noqa: ANN401
    """Return the name of the output that is depth, and whether only a run tells its shape.

    Raises:
        ModelError: it is no map of numbers.
    """
    node = _picked(session.get_outputs(), entry.output_name, f"{entry.name}: output")
    where = f"{entry.name}: output {node.name}"
    if node.type not in _OUTPUT_TYPES:
        raise ModelError(
            f"{where} is {node.type}, expected tensor(float): let the network end in a cast to it"
        )
    long_sides = [side for side in node.shape if is_free(side) or side != 1]
    fixed = [side for side in node.shape if not is_free(side) and side > 1]
    if len(fixed) > 2 or len(node.shape) == 1:
        raise ModelError(
            f"{where} has shape {node.shape}, expected [1, 1, h, w], [1, h, w] or [h, w], or an 1 "
            "in another place: output_name in the registry entry names the one that is depth"
        )
    is_told = len(fixed) == len(long_sides) == 2
    if is_told and entry.input is not None and entry.input.rule == "fixed":
        reason = foreign_shape(fixed, (entry.input.height, entry.input.width))
        if reason:
            raise ModelError(f"{where} has shape {node.shape}: {reason}")
    return str(node.name), not is_told


def foreign_shape(output: Sequence[int], image: Sequence[int]) -> str:
    """Return why a map cannot be depth of all of an image, by its shape; "" = it can.

    Args:
        output: its height and width.
        image: height and width of the network's input.
    """
    (height, width), (image_height, image_width) = output, image
    shape = f"a map of {width}x{height} for an image of {image_width}x{image_height}"
    if _is_like(width * image_height, height * image_width):
        return ""
    if min(height, width) == 1:
        return f"{shape}: let the network end in a reshape to [1, 1, h, w]"
    if _is_like(width * image_width, height * image_height):
        return f"{shape}: its rows are columns, let the network end in a transpose"
    return f"{shape} shows something else: set output_name, and layout of its `input` (nhwc)"


def _is_like(a: int, b: int) -> bool:
    return 1.0 / _MOST_STRETCH <= a / b <= _MOST_STRETCH


def as_maps(values: torch.Tensor, count: int) -> torch.Tensor | None:
    """Return an output as (count, h, w), None where it is not so many maps.

    Args:
        values: with axes of length 1 in any place.
        count: images that it is of.
    """
    if count > 1:
        if values.ndim < 3 or values.shape[0] != count:
            return None
        maps = [as_maps(one, 1) for one in values]
        return None if any(item is None for item in maps) else torch.cat(maps)  # type: ignore[arg-type]
    shape = list(values.shape)
    for place in (0, -1):  # batch and channel in front first, then a channel behind
        while len(shape) > 2 and shape[place] == 1:
            shape.pop(place)
    if len(shape) > 2:
        shape = [side for side in shape if side != 1]
    return values.reshape(1, *shape) if len(shape) == 2 else None


def is_free(side: object) -> bool:
    """Tell whether an axis of a file may have any length."""
    return not isinstance(side, int) or side < 1


def _picked(nodes: list[Any], name: str, what: str) -> Any:  # noqa: ANN401
    names = ", ".join(node.name for node in nodes)
    if name:
        for node in nodes:
            if node.name == name:
                return node
        raise ModelError(f"{what} {name!r} is not in the network, which has: {names}")
    if len(nodes) != 1:
        key = f"{what.rpartition(' ')[2]}_name"
        raise ModelError(f"{what} must be named in the registry entry, one of: {names} ({key})")
    return nodes[0]
