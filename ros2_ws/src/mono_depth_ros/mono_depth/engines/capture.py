"""What a model asks of its network: the arguments, and the network itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mono_depth.data import Intrinsics, RgbImage
from mono_depth.engines.protocol import EngineError, Network
from mono_depth.models.protocol import DepthModel
from mono_depth.models.store.registry import ModelEntry

Arguments = tuple[object, ...]


class Capture:
    """Sees the arguments with which a model calls its network, without running the network."""

    def __init__(self, model: DepthModel, entry: ModelEntry) -> None:
        """Take a model that was loaded without engines.

        Raises:
            EngineError: it has no network of its own.
        """
        self._model = model
        self._entry = entry
        self._holder = _holder(model)

    def arguments(self, rgb: RgbImage, camera: Intrinsics | None) -> Arguments:
        """Return the arguments for one picture."""
        net = self._holder.net
        self._holder.net = _Stop(net)
        try:
            with torch.inference_mode():
                self._model.infer(torch.from_numpy(rgb).to(self._model.device), camera)
        except _Stopped as stopped:
            return stopped.arguments
        finally:
            self._holder.net = net
        raise EngineError(f"{self._entry.name} does not call its network")

    def network(self, arguments: Arguments) -> Network:
        """Return the network with `arguments` as its example."""
        net = self._holder.net
        is_module = isinstance(net, nn.Module)
        return Network(
            name=self._entry.name,
            family=self._entry.family,
            sha256=self._model.weights_sha256,
            arguments=arguments,
            net=net if is_module else None,
            onnx_path=None if is_module else net.path,
        )


class _Stopped(Exception):  # noqa: N818 - it is no error
    def __init__(self, arguments: Arguments) -> None:
        super().__init__()
        with torch.inference_mode(False):
            self.arguments = tuple(
                item.clone() if isinstance(item, torch.Tensor) else item for item in arguments
            )


class _Stop:
    """Takes the place of a network and ends the call."""

    def __init__(self, net: Any) -> None:  # noqa: ANN401 - a module, or the session of a file
        self._net = net

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.__dict__["_net"], name)

    def __call__(self, *arguments: object) -> None:
        raise _Stopped(arguments)


def _holder(model: Any) -> Any:  # noqa: ANN401
    """Return the object behind `model` that holds the network as `net`."""
    inner = model
    while not hasattr(inner, "net"):
        for name in ("model", "completer"):
            if hasattr(inner, name):
                inner = getattr(inner, name)
                break
        else:
            raise EngineError(f"{model.name} has no network of its own")
    return inner
