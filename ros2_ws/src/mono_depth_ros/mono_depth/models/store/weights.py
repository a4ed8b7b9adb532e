"""Reading weights: plain tensors, strictly loaded."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from mono_depth.errors import ModelError
from mono_depth.models.store.checkpoint import (
    Tensors,
    check_tensors,
    plain,
    tensors_in,
    without_prefix,
)
from mono_depth.models.store.file_kind import (
    HEAD_BYTES,
    TORCH_TYPES,
    foreign_kind,
    pickle_reason,
    whole_or_why,
    zip_or_why,
)
from mono_depth.models.store.weights_file import open_weights

Config = dict[str, Any]

_NAMES_IN_MESSAGE = 4
# CVE-2026-24747: before 2.10 the weights_only unpickler could be made to corrupt memory.
_SAFE_PICKLE_TORCH = (2, 10)


def read_tensors(path: Path, expected_sha256: str = "", *, part: str = "") -> tuple[Tensors, str]:
    """Read all tensors of a `.safetensors` file, or of one of torch.save, into its own memory.

    Floating-point tensors become float32. A checkpoint of a training may hold more than them.

    Args:
        path: of the file.
        expected_sha256: what it must hash to, "" = anything.
        part: key of the tensors in a file of torch.save; "" = see `checkpoint.tensors_in`.

    Returns:
        Tensors by name on the CPU, and the SHA-256 of the file.

    Raises:
        ModelError: see `open_weights`; or the file holds anything but finite tensors.
    """
    with open_weights(path, expected_sha256) as (file, sha256):
        if path.suffix not in (".safetensors", *TORCH_TYPES):
            raise ModelError(
                f"weights of type {path.suffix or 'none'} ({path}), "
                f"expected .safetensors, {', '.join(TORCH_TYPES)}"
            )
        _refuse_foreign(file, path)
        if path.suffix == ".safetensors":
            tensors = _read_safetensors(path)
        else:
            tensors = tensors_in(_unpickled(file, path), path, part, _size(file))
    _check_finite(tensors, path)
    return tensors, sha256


def _refuse_foreign(file: BinaryIO, path: Path) -> None:
    foreign = foreign_kind(file.read(HEAD_BYTES), path.suffix)
    if foreign:
        raise ModelError(f"{path} is not a file of weights: {foreign}")
    file.seek(0)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            read = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            check_tensors(read, path, path.stat().st_size)
            # a copy: a mapped file that shrinks later would kill the process
            return {
                name: plain(tensor, name, path, copy=True)
                for name, tensor in without_prefix(read).items()
            }
    except (SafetensorError, ValueError, AttributeError, KeyError) as error:
        with path.open("rb") as opened:
            reason = whole_or_why(opened, path.stat().st_size, path.suffix)
        raise ModelError(f"{path} is not a safetensors file: {reason or error}") from error


def read_configured(path: Path, expected_sha256: str = "") -> tuple[Tensors, Config, str]:
    """Read a `.pt` file of `{"model_config": ..., "model": tensors}`, as MoGe publishes.

    Returns:
        See `read_tensors`; and between them the configuration: plain values by name.

    Raises:
        ModelError: see `read_tensors`; or there is no configuration.
    """
    if path.suffix != ".pt":
        raise ModelError(f"weights of type {path.suffix or 'none'} ({path}), expected .pt")
    with open_weights(path, expected_sha256) as (file, sha256):
        _refuse_foreign(file, path)
        content = _unpickled(file, path)
        config = content.get("model_config") if isinstance(content, dict) else None
        if not isinstance(config, dict):
            raise ModelError(f"{path} holds no 'model_config'")
        tensors = tensors_in(content, path, "model", _size(file))
    _check_finite(tensors, path)
    return tensors, config, sha256


def _check_finite(tensors: Tensors, path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path}: tensor {name} holds NaN or infinity")


def _unpickled(file: BinaryIO, path: Path) -> object:
    if _torch_version() < _SAFE_PICKLE_TORCH:
        raise ModelError(
            f"torch {torch.__version__} cannot read {path} safely, expected 2.10 or newer; "
            "or use a .safetensors file"
        )
    reason = zip_or_why(file, _size(file))
    if reason:
        raise ModelError(f"{path} is not a file of plain tensors: {reason}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats: what is wrong is said in our words
            content: object = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler runs into any kind of error in a damaged file
        raise ModelError(
            f"{path} is not a file of plain tensors: {pickle_reason(error)}"
        ) from error
    return content


def _torch_version() -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def load_strictly(module: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Make `tensors` the parameters of `module`, which may have been built on `meta`.

    Args:
        module: every parameter and buffer of its state dict is replaced.
        tensors: exactly one of the right shape for each.
        source: says in messages where the tensors come from.

    Raises:
        ModelError: a tensor is missing, left over, of another shape or of another sort.
    """
    wanted = module.state_dict()
    tensors = _named_as(wanted, tensors)
    problems = [
        _few("missing", [name for name in wanted if name not in tensors]),
        _few("unexpected", [name for name in tensors if name not in wanted]),
        _few(
            "misshaped",
            [
                f"{name} {tuple(tensors[name].shape)} instead of {tuple(value.shape)}"
                for name, value in wanted.items()
                if name in tensors and tensors[name].shape != value.shape
            ],
        ),
        _few(
            "of another sort",
            [
                f"{name} {_sort(tensors[name])} instead of {_sort(value)}"
                for name, value in wanted.items()
                if name in tensors
                and tensors[name].is_floating_point() != value.is_floating_point()
                and not name.endswith("num_batches_tracked")  # a counter that nothing reads
            ],
        ),
    ]
    if any(problems):
        details = "; ".join(problem for problem in problems if problem)
        raise ModelError(f"{source} does not fit the network: {details}{_way_out(wanted, tensors)}")
    module.load_state_dict(dict(tensors), strict=True, assign=True)


def _way_out(wanted: Mapping[str, object], tensors: Mapping[str, torch.Tensor]) -> str:
    """Return what to do where the network is there, among others; "" = it is not."""
    some = next(iter(wanted), "")
    for name in tensors:
        prefix = name.removesuffix(some)
        if prefix != name and all(f"{prefix}{key}" in tensors for key in wanted):
            return (
                f". The network is there, beside others, with {prefix or 'nothing'!r} before its "
                f"names: save it alone where it was made, torch.save(net.state_dict(), 'net.pth')"
            )
    return ""


def _named_as(
    wanted: Mapping[str, object], tensors: Mapping[str, torch.Tensor]
) -> Mapping[str, torch.Tensor]:
    """Return tensors without a prefix that all their names share, where they fit only then.

    Training code that holds the network as `self.model` or `self.net` saves it so.
    """
    found, names = dict(tensors), set(wanted)
    while found and set(found) != names:
        prefixes = {name.partition(".")[0] for name in found}
        if len(prefixes) != 1 or not all("." in name for name in found):
            return tensors
        found = {name.partition(".")[2]: tensor for name, tensor in found.items()}
    return found


def _sort(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _few(what: str, names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:_NAMES_IN_MESSAGE])
    more = len(names) - _NAMES_IN_MESSAGE
    return f"{len(names)} {what}: {shown}" + (f" and {more} more" if more > 0 else "")
