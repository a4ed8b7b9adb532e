"""The tensors in a checkpoint, as people have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch

from mono_depth.errors import ModelError

Tensors = dict[str, torch.Tensor]

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training puts around them
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
_TIMES_THE_FILE, _SPARE_BYTES = 4, 64 << 20  # of memory: shared tensors, and small files
_SHOWN = 4
_MAX_WRAPPERS = 3  # around each other
_ALONE = "save them alone where they were made: torch.save(net.state_dict(), 'net.pth')"


def tensors_in(content: object, path: Path, part: str, bytes_in_file: int) -> Tensors:
    """Return the tensors by name of what `torch.load` read, in float32 and dense.

    Args:
        content: tensors by name, or a dictionary around them, as training saves it.
        path: of the file, for messages.
        part: key of the tensors; "" = they are all, or the one that stands for the network.
        bytes_in_file: what is in memory must not be far more.

    Raises:
        ModelError: there are no such tensors, or they are not dense numbers.
    """
    if part:
        if not isinstance(content, dict) or part not in content:
            raise ModelError(f"{path} holds no {part!r}")
        content = content[part]
    content = _unwrapped(content, path)
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{path} holds a {type(content).__name__}, expected tensors by name")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise ModelError(f"{path}: {str(name)[:80]!r} is a {kind}, expected a tensor; {_ALONE}")
    check_tensors(content, path, bytes_in_file)
    return {name: plain(value, name, path) for name, value in without_prefix(content).items()}


def _unwrapped(content: object, path: Path) -> object:
    """Return what a checkpoint of a training holds for the network, wherever in it."""
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(content, dict) or _are_tensors(content):
            return content
        found = _networks_in(content)
        if len(found) > 1:
            listed = ", ".join(sorted(map(str, found))[:_SHOWN])
            raise ModelError(f"{path} holds several networks ({listed}), expected one; {_ALONE}")
        if not found:
            return content
        content = content[found[0]]
    return content


def _networks_in(content: dict[object, object]) -> list[object]:
    """Return the keys of what may be the network: the least that is around tensors by name."""
    for wrappers in range(_MAX_WRAPPERS):
        found = [key for key, item in content.items() if _holds_tensors(item, wrappers)]
        known: list[object] = [key for key in found if key in _WRAPPERS]
        if found:
            return known or found
    return []


def _holds_tensors(value: object, wrappers: int) -> bool:
    """Tell whether there are tensors by name within so many dictionaries.

    The keys of an optimiser's state are numbers.
    """
    if wrappers == 0:
        return _are_tensors(value)
    return isinstance(value, dict) and any(
        isinstance(key, str) and _holds_tensors(item, wrappers - 1) for key, item in value.items()
    )


def _are_tensors(value: object) -> TypeGuard[dict[str, torch.Tensor]]:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())
    )


def without_prefix(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Return tensors without what data-parallel training or a compiler put before all names."""
    found = dict(tensors)
    while found:
        prefix = next((p for p in _PREFIXES if all(n.startswith(p) for n in found)), None)
        if prefix is None:
            return found
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def check_tensors(tensors: Mapping[str, torch.Tensor], path: Path, bytes_in_file: int) -> None:
    """Refuse tensors that are no dense numbers, or that would need far more memory than the file.

    Looks at what they say of themselves only: their values may not be there.

    Raises:
        ModelError: which tensor, and what it is.
    """
    for name, tensor in tensors.items():
        problem = _problem(tensor)
        if problem:
            raise ModelError(f"{path}: tensor {name} is {problem}, expected dense numbers")
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if total > _TIMES_THE_FILE * bytes_in_file + _SPARE_BYTES:
        raise ModelError(
            f"{path} has {bytes_in_file} bytes, but its tensors would take {total}: "
            "not a file of weights"
        )


def _problem(tensor: torch.Tensor) -> str:
    if tensor.is_meta:
        return "without values (meta)"
    if tensor.is_quantized:
        return "quantised"
    if tensor.layout is not torch.strided or tensor.is_nested:
        return f"of layout {str(tensor.layout).removeprefix('torch.')}"
    if tensor.is_complex():
        return "complex"
    return ""


def plain(tensor: torch.Tensor, name: str, path: Path, *, copy: bool = False) -> torch.Tensor:
    """Return a tensor in memory of its own, floating-point ones as float32.

    Raises:
        ModelError: its format cannot be converted.
    """
    dtype: Any = torch.float32 if tensor.is_floating_point() else tensor.dtype
    try:
        return tensor.detach().to(dtype, copy=copy).contiguous()
    except (RuntimeError, TypeError) as error:  # the newest formats have no conversion
        raise ModelError(f"{path}: tensor {name} is {tensor.dtype}, expected float32") from error
