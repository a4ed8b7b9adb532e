"""What a model asks of its network: the arguments, and the network itself."""

from __future__ import annotations

import torch

from mono_depth.data import Intrinsics, RgbImage
from mono_depth.engines.arguments import Arguments, cloned
from mono_depth.engines.protocol import EngineError, Network, network_of
from mono_depth.models.protocol import LoadedModel
from mono_depth.models.store.registry import ModelEntry


class Capture:
    """Sees the arguments with which a model calls its network, without running the network.

    Of several networks that is the one that every image goes through.
    """

    def __init__(self, model: LoadedModel, entry: ModelEntry) -> None:
        """Take a model that was loaded without engines."""
        self._model = model
        self._entry = entry
        self._net = model.networks[0]

    def arguments(self, rgb: RgbImage, camera: Intrinsics | None) -> Arguments:
        """Return the arguments for one image.

        Raises:
            EngineError: the model does without its network.
        """
        network = self._net.call
        self._net.call = _stop
        try:
            with torch.inference_mode():
                self._model.infer(torch.from_numpy(rgb).to(self._model.device), camera)
        except _Stopped as stopped:
            return stopped.arguments
        finally:
            self._net.call = network
        raise EngineError(f"{self._entry.name} does not call its network")

    def network(self, arguments: Arguments) -> Network:
        """Return the network with `arguments` as its example."""
        return network_of(self._net, self._entry, self._model.weights_sha256, arguments)


class _Stopped(Exception):  # noqa: N818 - it is no error
    """Ends the call of a model at its network, whose output nobody needs."""

    def __init__(self, arguments: Arguments) -> None:
        super().__init__()
        self.arguments = cloned(arguments)


def _stop(*arguments: object) -> None:
    raise _Stopped(arguments)
