"""A network whose calls go to the engine that suits the shape of its input."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from mono_depth.engines import choice
from mono_depth.engines.accuracy import (
    OutputError,
    output_error,
    share_of_unknown,
    share_of_unknown_in,
    tolerance,
)
from mono_depth.engines.arguments import (
    Arguments,
    cloned,
    examples_like,
    output_structure,
    restructure,
    shapes,
    tensors,
)
from mono_depth.engines.background import BackgroundBuilder
from mono_depth.engines.engine_report import EngineReport
from mono_depth.engines.found_engines import FoundEngines
from mono_depth.engines.protocol import (
    BuildContext,
    Engine,
    Network,
    NotInstalledError,
    Plan,
    Tensors,
    last_line,
    network_of,
    outputs_of,
)
from mono_depth.engines.time_limit import within
from mono_depth.engines.timing import race, timed
from mono_depth.models.replaceable_net import NetworkCall, OnnxFile, ReplaceableNet
from mono_depth.models.store.registry import ModelEntry
from mono_depth.system.gpu_errors import is_out_of_memory
from mono_depth.system.gpu_turns import GPU_TURNS
from mono_depth.system.threads import torch_threads

_LOG = logging.getLogger(__name__)
_MAX_SHAPES = 4  # input sizes that are kept ready; further ones run on the reference
# A network that takes no longer than this is left as it is. On a GPU it is the launches that take
# the time of a small one, and a graph spares them.
_QUICK_MS = {"cuda": 0.3}
_QUICK_ELSEWHERE_MS = 4.0
_ANSWER_S = 60.0  # for one image, or so many times what the reference takes: else it hangs
_ANSWER_TIMES = 30.0
_WORTH_IT = 0.95  # of the time of what runs by now
_WORTH_RANGE = 1.05  # the same for bf16 in place of fp16, which overflows where bf16 cannot


@dataclass(kw_only=True)
class _Slot:
    """One shape of the input."""

    title: str  # of the network
    shapes: str
    plan: Plan
    engine: Engine | None = None  # None: the reference
    ms: float = math.nan
    share: float = 1.0  # of the time of the reference in the same race
    why: str = ""
    refused: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()  # right, but not fast
    unknown: float = 0.0  # share of the reference's output that is no number, at most
    is_building: bool = False
    form: tuple[bool, ...] | None = None  # which outputs are tensors; None = a single tensor


class EngineRunner:
    """Runs a network of a model, called as the network itself. One thread calls it."""

    def __init__(
        self,
        net: ReplaceableNet[nn.Module | OnnxFile],
        entry: ModelEntry,
        sha256: str,
        plans: Sequence[Plan],
        reference: Plan,
        context: BuildContext,
        *,
        why_alone: str,
        is_auto: bool,
        builder: BackgroundBuilder | None,
    ) -> None:
        """Take over a network.

        Args:
            net: of the model: positional arguments in, tensors out.
            entry: of the model.
            sha256: of its weights.
            plans: what is tried, in order.
            reference: what the network is by itself.
            context: what engines are built for.
            why_alone: told where nothing but the reference is tried.
            is_auto: an engine must also be faster than the reference.
            builder: calls must not wait for an engine: it builds them meanwhile. None = they do.
        """
        self._net, self._entry, self._sha256 = net, entry, sha256
        self._plans, self._reference, self._context = plans, reference, context
        self._why_alone = why_alone
        self._is_auto, self._builder = is_auto, builder
        self._slots: dict[tuple[object, ...], _Slot] = {}
        self._recorded: list[Arguments] | None = None
        self._images: list[Arguments] = []
        self._newest: _Slot | None = None
        self._excess: torch.Tensor | None = None  # of the newest call, see `take_excess`
        self._overflowed: tuple[str, ...] = ()

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401
        """Return what the network returns."""
        if self._recorded is not None:
            self._recorded.append(cloned(arguments))
            return self._by_reference(arguments)
        slot = self._slots.get(shapes(arguments)) or self._opened(arguments)
        self._newest = slot
        engine = slot.engine
        if engine is None:
            return self._by_reference(arguments)
        try:
            found = engine.call(*tensors(arguments))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self._refuse(slot, slot.plan, f"failed on a frame: {last_line(error)}")
            slot.engine, slot.plan, slot.ms, slot.why = None, self._reference, math.nan, ""
            return self._by_reference(arguments)
        if self._may_overflow(slot):
            self._excess = share_of_unknown_in(found) - slot.unknown
        return restructure(found, slot.form)

    def record(self) -> None:
        """Keep the arguments of the calls from now on: images to compare engines with."""
        self._recorded = []

    def stop_recording(self) -> None:
        """End `record`."""
        self._images, self._recorded = self._recorded or [], None

    def build(self) -> None:
        """Build the engine for the shape that was recorded, if any."""
        if self._images:
            self._newest = self._opened(self._images[0], waits=True)

    def report(self) -> EngineReport | None:
        """Return what runs for the shape that was called last, None = none was."""
        slot = self._newest
        if slot is None:
            return None
        return EngineReport(
            model=slot.title,
            shapes=slot.shapes,
            plan=slot.plan,
            detail=slot.engine.detail if slot.engine else "",
            device=str(self._context.device),
            ms=slot.ms,
            why="; ".join((slot.why, *slot.passed_over) if slot.why else slot.passed_over),
            refused=slot.refused,
            is_building=slot.is_building,
        )

    def take_excess(self) -> torch.Tensor | None:
        """Return, once, how much more of the newest output is no number than of the reference's.

        A scalar on the device: to look at it is to wait for it. None = the format of the engine
        holds all numbers that the reference's does.
        """
        excess, self._excess = self._excess, None
        return excess

    def give_up_fp16(self, share: float) -> None:
        """Use no engine in fp16 from now on: an output overflowed, by this share of it."""
        for key, slot in list(self._slots.items()):
            if self._may_overflow(slot):
                reason = f"{100.0 * share:.3g} % of a frame's output is NaN or infinite"
                self._refuse(slot, slot.plan, reason)
                self._overflowed = slot.refused
                del self._slots[key]  # the next frame of its shape opens another
        self._plans = [plan for plan in self._plans if plan.precision != "fp16"]

    def _may_overflow(self, slot: _Slot) -> bool:
        is_on_gpu = self._context.device.type == "cuda"
        return is_on_gpu and slot.engine is not None and slot.plan.precision == "fp16"

    def release(self) -> None:
        """Let go of the engines, and of the network."""
        self._newest = None
        self._slots, self._images = {}, []
        self._net.release()

    def _by_reference(self, arguments: Arguments) -> Any:  # noqa: ANN401
        network: NetworkCall = self._net.module
        with torch_threads(self._context.threads):
            return network(*arguments)

    def _opened(self, arguments: Arguments, *, waits: bool = False) -> _Slot:
        """Return a slot for arguments of a new shape, and see to its engine."""
        network = network_of(self._net, self._entry, self._sha256, cloned(arguments))
        slot = _Slot(
            title=network.title,
            shapes=network.shapes,
            plan=self._reference,
            refused=self._overflowed,
        )
        if len(self._slots) >= _MAX_SHAPES:
            slot.why = f"the {_MAX_SHAPES} input sizes before this one have engines"
            return slot
        if all(self._is_reference(plan) for plan in self._plans):
            slot.why = self._why_alone
        elif waits or self._builder is None:
            self._decide(slot, network)
        else:
            slot.is_building = True
            if not self._builder.start(partial(self._decide, slot, network)):
                slot.is_building = False
                slot.why = "another engine is being built"
                return slot  # not kept: its turn comes with a later frame
        self._slots[shapes(arguments)] = slot
        return slot

    def _decide(self, slot: _Slot, network: Network) -> None:
        """Take an engine that says what the reference says, and is worth it.

        On a CPU that is the first one, for they are tried in the order of their speed; which one
        is the fastest on a GPU depends on the GPU and on the network, so there all of them race.
        """
        examples = examples_like(network.arguments, self._images) or [network.arguments]
        try:
            with GPU_TURNS.building(self._context.device), torch.inference_mode():
                self._compare(slot, network, examples)
        except Exception as error:
            if not slot.is_building:
                raise
            if not self._is_closed:  # else it missed the network, which is gone
                plan = self._plans[0] if self._plans else self._reference
                self._refuse(slot, plan, last_line(error))
        finally:
            slot.is_building = False

    def _compare(self, slot: _Slot, network: Network, examples: list[Arguments]) -> None:
        times_ms, truth = [], []
        for item in examples:
            ms, actual = timed(partial(self._by_reference, item), self._context.device)
            times_ms.append(ms)
            truth.append(actual)
        slot.form = output_structure(truth[0])
        answers = [outputs_of(item) for item in truth]
        slot.unknown = max(map(share_of_unknown, answers))
        slot.ms = min(times_ms)
        slot.why = f"{self._reference}: {slot.ms:.1f} ms"
        quick_ms = _QUICK_MS.get(self._context.device.type, _QUICK_ELSEWHERE_MS)
        if self._is_auto and slot.ms <= quick_ms:
            slot.why += ", which leaves little to gain"
            return
        for plan in self._plans:
            if self._is_closed or self._is_reference(plan):
                return
            if slot.engine is not None and plan.precision == "fp32" != slot.plan.precision:
                return  # no format is slower
            is_taken = self._try(slot, network, plan, examples, answers)
            if is_taken and self._context.device.type == "cpu":
                return

    @property
    def _is_closed(self) -> bool:
        """Whether what is built in the background is of no use any more."""
        return self._builder is not None and self._builder.is_closed

    def _is_reference(self, plan: Plan) -> bool:
        """Whether nothing is to be built; on a GPU even the same arithmetic gains by a graph."""
        return plan == self._reference and self._context.device.type == "cpu"

    def _try(
        self,
        slot: _Slot,
        network: Network,
        plan: Plan,
        examples: list[Arguments],
        answers: list[Tensors],
    ) -> bool:
        """Build one engine, compare it with the reference and take it; False = it is refused."""
        inputs = [tensors(item) for item in examples]
        _LOG.info("%s at %s: trying %s", network.title, network.shapes, plan)
        store = FoundEngines(self._context.store)
        context = replace(self._context, store=store)
        limit_s = max(_ANSWER_S, _ANSWER_TIMES * slot.ms * 1e-3)
        try:
            built = self._checked(network, plan, context, inputs, answers, limit_s)
            if isinstance(built, str) and store.discard():
                _LOG.warning(
                    "%s at %s: the stored %s was deleted and is built anew: %s",
                    *(slot.title, slot.shapes, plan, built),
                )
                built = self._checked(network, plan, context, inputs, answers, limit_s)
        except Exception as error:
            if is_out_of_memory(error) and slot.engine is None:
                raise
            self._refuse(slot, plan, last_line(error), is_missing=_is_missing(error))
            return False
        if isinstance(built, str):
            self._refuse(slot, plan, built)
            return False
        engine, found = built
        # Not with an engine that frames use by now: that takes one call at a time.
        reference_ms, ms = race(
            partial(self._by_reference, examples[0]),
            partial(engine.call, *inputs[0]),
            device=self._context.device,
        )
        name = f"{plan} ({engine.detail})" if plan == self._reference else str(plan)
        told = f"{name}: {ms:.{_digits(ms)}f} ms, {self._reference} "
        told += f"{reference_ms:.{_digits(ms)}f} ms, {found}"
        share = ms / max(reference_ms, 1e-9)  # by which load on the machine falls out
        is_fast = not self._is_auto or share <= _WORTH_IT
        if slot.engine is not None:
            is_wider = (slot.plan.precision, plan.precision) == ("fp16", "bf16")
            is_fast &= share <= (_WORTH_RANGE if is_wider else _WORTH_IT) * slot.share
        else:
            slot.ms = reference_ms
        if not is_fast:
            slot.passed_over = (*slot.passed_over, f"{told}: not faster")
            return False
        if slot.engine is not None:
            slot.passed_over = (*slot.passed_over, f"{slot.why}: given up for {plan}")
        _LOG.info("%s at %s: %s", network.title, network.shapes, told)
        slot.plan, slot.ms, slot.share, slot.why = plan, ms, share, told
        slot.engine = engine  # last: from here on frames take it
        return True

    def _checked(
        self,
        network: Network,
        plan: Plan,
        context: BuildContext,
        inputs: Sequence[Tensors],
        answers: list[Tensors],
        limit_s: float,
    ) -> tuple[Engine, OutputError] | str:
        """Return an engine with its error, or why it is not to be taken."""
        try:
            engine = choice.build(network, plan, context)
            answer = partial(self._answer, engine, plan, limit_s=limit_s)
            found = output_error([answer(item) for item in inputs], answers)
        except Exception as error:
            if is_out_of_memory(error) or _is_missing(error):
                raise
            return last_line(error)
        limit = tolerance(plan.precision)
        return (engine, found) if found.is_within(limit) else f"{found}, allowed is {limit}"

    def _answer(self, engine: Engine, plan: Plan, inputs: Tensors, *, limit_s: float) -> Tensors:
        """Return what an engine says; that of another library is not waited for without end."""
        if plan.engine == "torch" or self._context.device.type != "cpu":
            return engine.call(*inputs)
        return within(limit_s, partial(engine.call, *inputs))

    def _refuse(self, slot: _Slot, plan: Plan, reason: str, *, is_missing: bool = False) -> None:
        is_option = is_missing and self._is_auto  # nobody asked for what is not installed
        level = logging.INFO if is_option else logging.WARNING
        _LOG.log(level, "%s at %s: %s is not taken: %s", slot.title, slot.shapes, plan, reason)
        if is_option:
            return
        slot.refused = (*slot.refused, f"{plan}: {reason}")


def _is_missing(error: Exception) -> bool:
    return isinstance(error, NotInstalledError)


def _digits(ms: float) -> int:
    """Return the decimals with which a time is told."""
    return 1 if ms >= 1.0 else 3
