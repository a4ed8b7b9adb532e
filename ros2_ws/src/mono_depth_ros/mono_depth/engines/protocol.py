"""What a network is to an engine, and what an engine is to a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from mono_depth.engines.copies import copied
from mono_depth.errors import ModelError
from mono_depth.models.family_table import family_of
from mono_depth.models.replaceable_net import DEPTH, OnnxFile, ReplaceableNet
from mono_depth.models.store.registry import ModelEntry

# What lies in the folder of a stored engine.
OPENVINO_FILE = "model.xml"  # with model.bin beside it
ONNX_FILE = "model.onnx"

Tensors = tuple[torch.Tensor, ...]
# A network, for one set of input shapes: tensors in, the tuple of its outputs out.
EngineCall = Callable[..., Tensors]


class EngineError(ModelError):
    """An engine cannot be had; the message says why and, if there is one, the way out."""


class NotInstalledError(EngineError):
    """A package is missing that is an option: nothing is wrong where nobody asked for it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What shall run a network."""

    engine: str  # one of `settings.ENGINES`
    precision: str  # one of `settings.PRECISIONS`

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """Everything that a stored engine depends on: it is of no use if any of these differs."""

    model: str  # name of the registry entry
    part: str = DEPTH  # which network of it; what was stored before has none
    model_sha256: str
    arguments: tuple[str, ...]  # of the network: "1x3x252x336", or the value of a constant
    plan: Plan
    device: str  # "cpu: AMD EPYC 9755", "cuda:0: NVIDIA H200"
    versions: tuple[tuple[str, str], ...]  # of all that makes it, by name: ("torch", "2.13.0")


class EngineStore(Protocol):
    """Keeps what took long to build."""

    def find(self, key: EngineKey) -> Path | None:
        """Return the folder of a stored engine; None if there is none, or it is damaged."""
        ...

    def shared(self, name: str) -> Path:
        """Return the folder, maybe not there yet, of what a compiler keeps for itself."""
        ...

    def remove(self, key: EngineKey) -> None:
        """Delete the engine that is stored under `key`, if there is one."""
        ...

    def put(self, key: EngineKey, write: Callable[[Path], None]) -> Path:
        """Return the folder that `write` filled, stored whole or, if `write` fails, not at all."""
        ...


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A network that is ready to run."""

    call: EngineCall  # tensors on the device in, tensors on the device out; one call at a time
    detail: str  # what exactly runs: "OpenVINO 2026.4", "CUDA graph"


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """What an engine is built for."""

    device: torch.device
    device_name: str  # "cpu: AMD EPYC 9755"
    threads: int  # of the CPU
    store: EngineStore


class StaticNet(nn.Module):
    """A network as engines want it: only tensors go in, a tuple of tensors comes out.

    Other arguments, such as an aspect ratio, are constants of it; outputs that are None are left
    out.
    """

    def __init__(self, net: nn.Module, arguments: tuple[object, ...]) -> None:
        """Fix what is not a tensor of the positional `arguments` of `net`."""
        super().__init__()
        self.net = net
        self._constants = [None if isinstance(item, torch.Tensor) else item for item in arguments]
        self._is_tensor = [isinstance(item, torch.Tensor) for item in arguments]

    def forward(self, *tensors: torch.Tensor) -> Tensors:
        """Return all outputs of the network."""
        given = iter(tensors)
        pairs = zip(self._is_tensor, self._constants, strict=True)
        return outputs_of(self.net(*(next(given) if is_one else item for is_one, item in pairs)))


def outputs_of(result: torch.Tensor | tuple[torch.Tensor | None, ...]) -> Tensors:
    """Return the tensors that a network answered with."""
    if isinstance(result, torch.Tensor):
        return (result,)
    return tuple(item for item in result if item is not None)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that an engine shall run, for one set of input shapes."""

    name: str  # of the registry entry
    part: str = DEPTH  # which network of the model
    sha256: str  # of the weights
    fp32_layers: str = ""  # pattern of names of modules that stay in fp32, "" = none
    arguments: tuple[object, ...]  # an example: tensors and constants
    net: nn.Module | None  # None: a network that is an ONNX file
    onnx_path: Path | None = None
    onnx_output: str = ""  # the output of the file that counts

    @property
    def title(self) -> str:
        """What it is called where people read it: "nano", and "nano hints" for another network."""
        return self.name if self.part == DEPTH else f"{self.name} {self.part}"

    @property
    def inputs(self) -> Tensors:
        """The tensors of `arguments`, what an engine is called with."""
        return tuple(item for item in self.arguments if isinstance(item, torch.Tensor))

    @property
    def shapes(self) -> str:
        """The arguments in words: "1x3x252x336"."""
        return ", ".join(described(item) for item in self.arguments)

    @property
    def input_names(self) -> list[str]:
        """Names for the inputs of an exported file."""
        return [f"input{index}" for index in range(len(self.inputs))]

    @property
    def module(self) -> StaticNet:
        """The network for tracing and exporting.

        Raises:
            EngineError: it is an ONNX file.
        """
        if self.net is None:
            raise EngineError(f"{self.name} is an ONNX file, which torch cannot run")
        return StaticNet(self.net, self.arguments)

    def on_cpu(self) -> tuple[StaticNet, Tensors]:
        """Return the network, in a copy if it is on a GPU, and its inputs for an exporter."""
        module, inputs = self.module, self.inputs
        with torch.inference_mode(False):
            if any(tensor.device.type != "cpu" for tensor in inputs):
                module = copied(module, torch.Tensor.cpu)
            return module.eval(), tuple(tensor.detach().cpu().clone() for tensor in inputs)

    def key(self, plan: Plan, device: str, versions: dict[str, str]) -> EngineKey:
        """Return what an engine for it is stored under."""
        return EngineKey(
            model=self.name,
            part=self.part,
            model_sha256=self.sha256,
            arguments=tuple(described(item) for item in self.arguments),
            plan=plan,
            device=device,
            versions=tuple(sorted(versions.items())),
        )


def network_of(
    net: ReplaceableNet[nn.Module | OnnxFile],
    entry: ModelEntry,
    sha256: str,
    arguments: tuple[object, ...],
) -> Network:
    """Return a network of a model, with an example of its arguments.

    Args:
        net: of the model.
        entry: of the model.
        sha256: of its weights.
        arguments: tensors and constants that it is called with.
    """
    module = net.module
    return Network(
        name=entry.name,
        part=net.part,
        sha256=sha256,
        fp32_layers=family_of(entry).fp32_layers,
        arguments=arguments,
        net=module if isinstance(module, nn.Module) else None,
        onnx_path=None if isinstance(module, nn.Module) else module.path,
        onnx_output="" if isinstance(module, nn.Module) else module.output_name,
    )


def described(argument: object) -> str:
    """Return the shape of a tensor, "1x3x252x336", or the value of a constant."""
    if isinstance(argument, torch.Tensor):
        return "x".join(map(str, argument.shape))
    return repr(argument)


def last_line(error: Exception) -> str:
    """Return what an error of a library comes down to: the last line that it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
