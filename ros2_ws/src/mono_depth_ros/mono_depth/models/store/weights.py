"""Reading weights: plain tensors, strictly loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from mono_depth.errors import ModelError
from mono_depth.models.store.weights_file import open_weights

Tensors = dict[str, torch.Tensor]
Config = dict[str, Any]

_NAMES_IN_MESSAGE = 4
# CVE-2026-24747: before 2.10 the weights_only unpickler could be made to corrupt memory.
_SAFE_PICKLE_TORCH = (2, 10)


def read_tensors(path: Path, expected_sha256: str = "", *, part: str = "") -> tuple[Tensors, str]:
    """Read all tensors of a `.safetensors`, `.pth` or `.pt` file into memory of its own.

    Floating-point tensors become float32.

    Args:
        path: of the file.
        expected_sha256: what it must hash to, "" = anything.
        part: key of the tensors in a `.pth` or `.pt` file that holds more than them.

    Returns:
        Tensors by name on the CPU, and the SHA-256 of the file.

    Raises:
        ModelError: see `open_weights`; or the file holds anything but finite tensors.
    """
    with open_weights(path, expected_sha256) as (file, sha256):
        if path.suffix == ".safetensors":
            tensors = _read_safetensors(path)
        elif path.suffix in (".pth", ".pt"):
            tensors = _read_pickle(file, path, part)
        else:
            raise ModelError(
                f"weights of type {path.suffix or 'none'} ({path}), "
                "expected .safetensors, .pth or .pt"
            )
    _check_finite(tensors, path)
    return tensors, sha256


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # a copy: a mapped file that shrinks later would kill the process
            names = file.keys()
            return {name: _plain(file.get_tensor(name), copy=True) for name in names}
    except SafetensorError as error:
        raise ModelError(f"{path} is not a safetensors file: {error}") from error


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
        content = _unpickled(file, path)
        config = content.get("model_config") if isinstance(content, dict) else None
        if not isinstance(config, dict):
            raise ModelError(f"{path} holds no 'model_config'")
        tensors = _tensors_in(content, path, "model")
    _check_finite(tensors, path)
    return tensors, config, sha256


def _check_finite(tensors: Tensors, path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path}: tensor {name} holds NaN or infinity")


def _read_pickle(file: BinaryIO, path: Path, part: str) -> Tensors:
    return _tensors_in(_unpickled(file, path), path, part)


def _unpickled(file: BinaryIO, path: Path) -> object:
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < _SAFE_PICKLE_TORCH:
        raise ModelError(
            f"torch {torch.__version__} cannot read {path} safely, expected 2.10 or newer; "
            "or use a .safetensors file"
        )
    try:
        content: object = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler runs into any kind of error in a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path} is not a file of plain tensors: {reason}") from error
    return content


def _tensors_in(content: object, path: Path, part: str) -> Tensors:
    if part:
        if not isinstance(content, dict) or part not in content:
            raise ModelError(f"{path} holds no {part!r}")
        content = content[part]
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{path} holds a {type(content).__name__}, expected tensors by name")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelError(f"{path}: {name!r} is a {type(value).__name__}, expected a tensor")
    return {name: _plain(value, copy=False) for name, value in content.items()}


def _plain(tensor: torch.Tensor, *, copy: bool) -> torch.Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(dtype, copy=copy).contiguous()


def load_strictly(module: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Make `tensors` the parameters of `module`, which may have been built on `meta`.

    Args:
        module: every parameter and buffer of its state dict is replaced.
        tensors: exactly one of the right shape for each.
        source: says in messages where the tensors come from.

    Raises:
        ModelError: a tensor is missing, left over or of another shape.
    """
    wanted = module.state_dict()
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
    ]
    if any(problems):
        details = "; ".join(problem for problem in problems if problem)
        raise ModelError(f"{source} does not fit the network: {details}")
    module.load_state_dict(dict(tensors), strict=True, assign=True)


def _few(what: str, names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:_NAMES_IN_MESSAGE])
    more = len(names) - _NAMES_IN_MESSAGE
    return f"{len(names)} {what}: {shown}" + (f" and {more} more" if more > 0 else "")
