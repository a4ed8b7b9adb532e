"""The built-in network as a family."""

from __future__ import annotations

from mono_depth.models.checks import pseudo_random
from mono_depth.models.family import Family, LoadRequest, ModelRequest
from mono_depth.models.nano.model import Nano
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.store.weights_file import open_weights


def load(request: LoadRequest) -> Nano:
    """Return the model of a weights file."""
    with open_weights(request.weights, request.sha256) as (_, sha256):
        model = Nano.load(request.weights, request.device, name=request.entry.name, sha256=sha256)
    model.scale_sigma_rel = request.entry.scale_sigma_rel
    return model


def make_random(request: ModelRequest) -> Nano:
    """Return the model before training."""
    name = request.entry.name
    return Nano(NanoNet(), request.device, name=name, sha256=pseudo_random.SHA256)


# No original: the network is of this project.
FAMILY = Family(load=load, make_random=make_random, golden_cases=None, fp32_layers=r"head")
