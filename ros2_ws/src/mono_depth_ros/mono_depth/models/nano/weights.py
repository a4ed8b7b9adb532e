"""The weights file of the built-in network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mono_depth.errors import ModelError
from mono_depth.models.nano.architecture import AnyNanoNet, encoder_of, make_net
from mono_depth.models.nano.encoder_file import ENCODER_SOURCE, ENCODER_VARIANTS
from mono_depth.models.store.weights import load_strictly, read_tensors

WEIGHTS_FORMAT = "mono_depth nano 3"
IMAGE_ONLY_FORMAT = "mono_depth nano 1"  # of weights that know no hints
LITE_FORMAT = "mono_depth nano 4"  # of weights with a published encoder; the header tells which


def save_weights(net: AnyNanoNet, path: Path, record: Mapping[str, object]) -> None:
    """Write the weights, with how they came about in the header.

    In half precision, but for the vectors: the variance of a norm can exceed its range.

    Args:
        net: trained network, batch norms not folded.
        path: safetensors file to write.
        record: JSON-compatible; what `read_record` returns.
    """
    tensors = {
        key: (value.half() if value.ndim > 1 else value).detach().cpu().contiguous()
        for key, value in net.state_dict().items()
        if not _is_counter(key)
    }
    save_file(tensors, str(path), {**_layout(net), "training": json.dumps(record)})


def _layout(net: AnyNanoNet) -> dict[str, str]:
    """Return what of the header `_net_of` needs, and where the encoder comes from."""
    encoder = encoder_of(net)
    if encoder is None:
        return {"format": IMAGE_ONLY_FORMAT if net.hints is None else WEIGHTS_FORMAT}
    network = {"encoder": encoder, "has_hints": net.hints is not None}
    return {
        "format": LITE_FORMAT,
        "network": json.dumps(network),
        "encoder_source": ENCODER_SOURCE,
    }


def _net_of(metadata: Mapping[str, str], path: Path) -> AnyNanoNet:
    found = metadata.get("format", "none")
    if found in (WEIGHTS_FORMAT, IMAGE_ONLY_FORMAT):
        return make_net(None, has_hints=found == WEIGHTS_FORMAT)
    if found != LITE_FORMAT:
        known = " or ".join(repr(name) for name in (WEIGHTS_FORMAT, IMAGE_ONLY_FORMAT, LITE_FORMAT))
        raise ModelError(f"{path} has format {found!r}, expected {known}")
    try:
        network = json.loads(metadata["network"])
        encoder, has_hints = network["encoder"], network["has_hints"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} does not tell its network: {error!r}") from error
    if encoder not in ENCODER_VARIANTS:
        raise ModelError(f"{path} has EfficientNet-Lite {encoder!r}, expected 0, 1 or 2")
    return make_net(encoder, has_hints=bool(has_hints))


def read_net(path: Path, sha256: str = "") -> tuple[AnyNanoNet, str]:
    """Return the network of a weights file, and the SHA-256 of the file.

    Args:
        path: safetensors file that `save_weights` wrote.
        sha256: what the file must have, "" to take the file as it is.

    Raises:
        ModelError: the file is missing, damaged, another one, or of another network.
    """
    tensors, found_sha256 = read_tensors(path, sha256)
    metadata = _metadata(path)
    with torch.device("meta"):  # all of it is replaced
        net = _net_of(metadata, path)
    counters = {
        key: torch.zeros(value.shape, dtype=value.dtype)
        for key, value in net.state_dict().items()
        if _is_counter(key)
    }
    load_strictly(net, {**tensors, **counters}, str(path))
    return net, found_sha256


def load_net(path: Path) -> AnyNanoNet:
    """Return the network of a weights file, to go on training it.

    Weights that know no hints become a network that adds nothing for them yet.

    Raises:
        ModelError: the file is missing, damaged, another one, or of another network.
    """
    found, _ = read_net(path)
    net = make_net(encoder_of(found))
    net.load_state_dict(found.state_dict(), strict=found.hints is not None)
    return net


def read_record(path: Path) -> dict[str, object]:
    """Return how the weights in a file came about: configuration, seed, images seen."""
    record: dict[str, object] = json.loads(_metadata(path)["training"])
    return record


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(str(path), "pt") as file:
        return dict(file.metadata() or {})


def _is_counter(key: str) -> bool:
    """Tell the number of batches a norm has seen, which nothing uses, from a weight."""
    return key.endswith("num_batches_tracked")
