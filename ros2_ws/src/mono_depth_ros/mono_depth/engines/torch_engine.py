"""PyTorch itself: in a shorter format, compiled, and on a GPU as one CUDA graph."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import nn

from mono_depth.engines.copies import copied
from mono_depth.engines.protocol import (
    BuildContext,
    Engine,
    EngineCall,
    EngineError,
    Network,
    Plan,
    Tensors,
)
from mono_depth.engines.timing import race
from mono_depth.system.gpu_errors import is_out_of_memory
from mono_depth.system.machine import cpu_computes_bf16
from mono_depth.system.recorded import recorded
from mono_depth.system.threads import torch_threads

_LOG = logging.getLogger(__name__)
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
_CACHE_OF_COMPILER = "TORCHINDUCTOR_CACHE_DIR"


def check(precision: str, device: torch.device) -> None:
    """Raise `EngineError` if torch cannot compute so on this device."""
    if precision == "int8":
        raise EngineError("engine torch has no int8: use engine openvino")
    if precision == "fp16" and device.type == "cpu":
        raise EngineError("engine torch has no fp16 on a CPU: use bf16 or fp32")
    if precision == "bf16" and device.type == "cpu" and not cpu_computes_bf16():
        raise EngineError("this CPU has no bf16: use fp32")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise EngineError("this GPU has no bf16: use fp16")


def build(network: Network, plan: Plan, context: BuildContext) -> Engine:
    """Return the network in the format of `plan`.

    Raises:
        EngineError: it cannot be had in this precision.
    """
    check(plan.precision, context.device)
    if network.net is None:
        raise EngineError(f"{network.name} is an ONNX file, which torch cannot run")
    module: nn.Module = network.module
    if plan.precision != "fp32":
        module = in_lower_precision(
            module, network.fp32_layers, _TYPES[plan.precision], context.device
        )
    if context.device.type != "cuda":
        return Engine(call=_eager(module, context.threads), detail="eager")
    inputs = tuple(tensor.to(context.device) for tensor in network.inputs)
    _keep_what_is_compiled(str(context.store.shared("inductor")))
    candidates: tuple[tuple[str, Callable[[], EngineCall]], ...] = (
        ("compiled, CUDA graph", lambda: _graph(torch.compile(module, dynamic=False), inputs)),
        ("CUDA graph", lambda: _graph(module, inputs)),
    )
    made: list[Engine] = []
    for detail, make in candidates:
        try:
            made.append(Engine(call=make(), detail=detail))
        except Exception as error:
            if is_out_of_memory(error) and not made:
                raise
            _LOG.info("%s: no %s: %s", network.name, detail, str(error).partition("\n")[0])
    if not made:
        return Engine(call=_eager(module, context.threads), detail="eager")
    times_ms = race(*(partial(item.call, *inputs) for item in made), device=context.device)
    return made[times_ms.index(min(times_ms))]


def _keep_what_is_compiled(folder: str) -> None:
    """Let torch keep what it compiled for the next start, unless the user keeps it elsewhere.

    Once loaded the compiler names a folder for what is temporary itself, which is no choice.
    """
    try:
        from torch._inductor.runtime.cache_dir_utils import default_cache_dir
    except ImportError:
        temporary = ""
    else:
        temporary = default_cache_dir()
    if os.environ.get(_CACHE_OF_COMPILER, temporary) == temporary:
        os.environ[_CACHE_OF_COMPILER] = folder


def _eager(module: nn.Module, threads: int) -> EngineCall:
    def call(*inputs: torch.Tensor) -> Tensors:
        with torch_threads(threads), torch.inference_mode():
            return tuple(tensor.float() for tensor in module(*inputs))

    return call


class _Lowered(nn.Module):
    """A module under autocast."""

    def __init__(self, module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.module = module
        self._dtype, self._kind = dtype, device.type

    def forward(self, *inputs: torch.Tensor) -> Tensors:
        with torch.autocast(self._kind, self._dtype, cache_enabled=False):
            found: Tensors = self.module(*inputs)
        return found


def in_lower_precision(
    module: nn.Module, fp32_layers: str, dtype: torch.dtype, device: torch.device
) -> nn.Module:
    """Return a copy of a `StaticNet` whose layers compute in `dtype`, but for some.

    Weights are rounded once, here: autocast alone would do it for each frame.

    Args:
        module: the network.
        fp32_layers: pattern of names of modules in the network that stay in fp32, "" = none.
        dtype: of the others.
        device: of the network.
    """
    islands = re.compile(rf"net\.({fp32_layers})(\..*)?") if fp32_layers else None

    def is_island(name: str) -> bool:
        return islands is not None and islands.fullmatch(name) is not None

    rounded = {
        weight.data_ptr()
        for name, part in module.named_modules()
        if isinstance(part, _WEIGHTED) and not is_island(name)
        for weight in part.parameters()
    }
    # What is not rounded is shared with the network, which stays for other shapes of its input.
    made = copied(
        module, lambda weight: weight.to(dtype) if weight.data_ptr() in rounded else weight
    )
    for name, part in made.named_modules():
        if is_island(name):
            _make_island(part, device)
    return _Lowered(made, dtype, device)


def _make_island(part: nn.Module, device: torch.device) -> None:
    inner = part.forward

    def forward(*inputs: object, **named: object) -> object:
        precise = [item.float() if isinstance(item, torch.Tensor) else item for item in inputs]
        off: AbstractContextManager[object] = torch.autocast(device.type, enabled=False)
        with off:
            return inner(*precise, **named)

    part.forward = forward


def _graph(call: Callable[..., Tensors], inputs: Tensors) -> EngineCall:
    """Record `call` once; replaying it costs one launch in place of hundreds."""
    return recorded(lambda *held: tuple(item.float() for item in call(*held)), inputs)
