"""The weights file of the built-in network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from mono_depth.errors import ModelError
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.store.weights import load_strictly, read_tensors

WEIGHTS_FORMAT = "mono_depth nano 3"
IMAGE_ONLY_FORMAT = "mono_depth nano 1"  # of weights that know no hints


def save_weights(net: NanoNet, path: Path, record: Mapping[str, object]) -> None:
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
    file_format = IMAGE_ONLY_FORMAT if net.hints is None else WEIGHTS_FORMAT
    metadata = {"format": file_format, "training": json.dumps(record)}
    save_file(tensors, str(path), metadata)


def read_net(path: Path, sha256: str = "") -> tuple[NanoNet, str]:
    """Return the network of a weights file, and the SHA-256 of the file.

    Args:
        path: safetensors file that `save_weights` wrote.
        sha256: what the file must have, "" to take the file as it is.

    Raises:
        ModelError: the file is missing, damaged, another one, or of another network.
    """
    tensors, found_sha256 = read_tensors(path, sha256)
    found_format = _metadata(path).get("format", "none")
    if found_format not in (WEIGHTS_FORMAT, IMAGE_ONLY_FORMAT):
        raise ModelError(
            f"{path} has format {found_format!r}, expected {WEIGHTS_FORMAT!r} or "
            f"{IMAGE_ONLY_FORMAT!r}"
        )
    net = NanoNet(has_hints=found_format == WEIGHTS_FORMAT)
    counters = {key: value for key, value in net.state_dict().items() if _is_counter(key)}
    load_strictly(net, {**tensors, **counters}, str(path))
    return net, found_sha256


def load_net(path: Path) -> NanoNet:
    """Return the network of a weights file, to go on training it.

    Weights that know no hints become a network that adds nothing for them yet.

    Raises:
        ModelError: the file is missing, damaged, another one, or of another network.
    """
    net, (found, _) = NanoNet(), read_net(path)
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
