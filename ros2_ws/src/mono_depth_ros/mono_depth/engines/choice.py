"""Which engines are tried for a network, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch

from mono_depth.engines import onnxruntime_engine, openvino_engine, torch_engine
from mono_depth.engines.protocol import BuildContext, Engine, EngineError, Network, Plan

_MODULES: dict[str, ModuleType] = {
    "torch": torch_engine,
    "openvino": openvino_engine,
    "onnxruntime": onnxruntime_engine,
}
# The fastest first, as measured (docs/models.md, "Engines"). int8 is never chosen without being
# asked for: it is the only one that costs accuracy.
_ON_CPU = (
    Plan(engine="openvino", precision="bf16"),
    Plan(engine="openvino", precision="fp32"),
    Plan(engine="onnxruntime", precision="fp32"),
    Plan(engine="torch", precision="bf16"),
    Plan(engine="torch", precision="fp32"),
)
_ON_GPU = (
    Plan(engine="onnxruntime", precision="fp16"),  # TensorRT
    Plan(engine="torch", precision="fp16"),
    Plan(engine="torch", precision="bf16"),
    Plan(engine="torch", precision="fp32"),
    Plan(engine="onnxruntime", precision="fp32"),
)


def plans(engine: str, precision: str, device: torch.device) -> list[Plan]:
    """Return what is tried, in order.

    Args:
        engine: auto, or the one to use.
        precision: auto, or the one to use.
        device: where the network runs.

    Raises:
        EngineError: an engine or precision that is asked for cannot be had on this machine.
    """
    known = _ON_CPU if device.type == "cpu" else _ON_GPU
    if engine == "auto" and precision == "int8":
        engine = "openvino"  # the one that gains by it
    wanted = [
        plan
        for plan in known
        if engine in ("auto", plan.engine) and precision in ("auto", plan.precision)
    ]
    if not wanted:  # be told why by whoever might
        names = _MODULES if engine == "auto" else (engine,)
        told = "fp32" if precision == "auto" else precision
        wanted = [Plan(engine=name, precision=told) for name in names]
    possible, reasons = [], []
    for plan in wanted:
        try:
            check(plan, device)
            possible.append(plan)
        except EngineError as error:
            reasons.append(str(error))
    is_free = engine == "auto" and precision == "auto"
    if not possible and not is_free:
        raise EngineError("; ".join(dict.fromkeys(reasons)))
    return possible


def check(plan: Plan, device: torch.device) -> None:
    """Raise `EngineError` if this cannot be had on this machine."""
    _MODULES[plan.engine].check(plan.precision, device)


def build(network: Network, plan: Plan, context: BuildContext) -> Engine:
    """Return the engine that `plan` names.

    Raises:
        EngineError: it cannot be had for this network.
    """
    maker: Callable[[Network, Plan, BuildContext], Engine] = _MODULES[plan.engine].build
    return maker(network, plan, context)
