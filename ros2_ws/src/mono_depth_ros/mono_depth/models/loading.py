"""From the name of a model to a network that is ready to run."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import torch

from mono_depth.config import CompletionConfig
from mono_depth.errors import ModelError
from mono_depth.models.family import LoadRequest
from mono_depth.models.family_table import family_of
from mono_depth.models.mirrored import MirrorAveraged
from mono_depth.models.protocol import LoadedModel, NetworkEngines
from mono_depth.models.store.registry import (
    ModelEntry,
    Registry,
    read_registry,
    shrunk,
    with_short_side,
)
from mono_depth.system.resources import weights_dir
from mono_depth.system.true_fp32 import use_true_fp32

_LOG = logging.getLogger(__name__)


def load_model(
    name: str,
    *,
    device: torch.device | str = "cpu",
    registry: Path | None = None,
    weights_folder: Path | None = None,
    allow_noncommercial: bool = False,
    input_size: int | None = None,
    shrink: float = 1.0,
    threads: int | None = None,
    completion: CompletionConfig | None = None,
    engines: NetworkEngines | None = None,
) -> LoadedModel:
    """Load a model of the registry. Downloads nothing.

    Args:
        name: registry entry, or `auto`: the usable entry with the lowest `auto_rank`.
        device: where the network runs.
        registry: file whose entries extend and override the shipped ones.
        weights_folder: folder of pulled weights; None = `resources.weights_dir()`.
        allow_noncommercial: accept weights that may not be used commercially.
        input_size: short side of the network's input in pixels; None or 0 = the model's own.
        shrink: factor on the sides of the network's input.
        threads: CPU threads; None or 0 = leave as they are. Holds for all of torch.
        completion: names the model that guesses for one that completes; None = the default.
        engines: run the network; None = PyTorch does, in fp32.

    Raises:
        ModelError: the name is unknown, the licence is refused, the weights are missing or
            not the expected ones, or the device is not there.
        ConfigError: a registry file is wrong.
    """
    folder = (weights_folder or weights_dir()).expanduser()
    entries = read_registry(registry.expanduser() if registry else None)
    if name == "auto":
        entry = choose(entries, folder, allow_noncommercial=allow_noncommercial)
    else:
        entry = entries[name]
        _check_licence(entry, allow_noncommercial=allow_noncommercial)
    family = family_of(entry)
    found = entry.find_weights(folder)
    if found is None:
        raise ModelError(_missing(entry, folder))
    source, weights = found
    if not source.sha256:
        _LOG.warning("the registry knows no sha256 of %s: unverified", weights)
    if threads:
        torch.set_num_threads(threads)
    request = LoadRequest(
        entry=shrunk(with_short_side(entry, input_size), shrink),
        weights=weights,
        sha256=source.sha256,
        device=_usable(device),
        threads=threads or None,
        completion=completion or CompletionConfig(),
        load_guess=partial(
            load_model,
            device=device,
            registry=registry,
            weights_folder=weights_folder,
            allow_noncommercial=allow_noncommercial,
            engines=engines,
        ),
    )
    model = family.load(request)
    if engines is not None:
        engines.fit(model, entry)
    if entry.average_mirrored:
        model = MirrorAveraged(model)
    _LOG.info(
        "model %s (%s, weights %s, sha256 %s) on %s",
        *(entry.name, entry.kind.value, entry.licence, model.weights_sha256[:12], model.device),
    )
    return model


def choose(entries: Registry, weights_folder: Path, *, allow_noncommercial: bool) -> ModelEntry:
    """Return the best entry that `auto` may use.

    That is the lowest `auto_rank` whose weights are on this machine and may be used
    commercially, or at all with `allow_noncommercial`.
    """
    ranked = [entry for entry in entries.values() if entry.auto_rank is not None]
    for entry in sorted(ranked, key=lambda entry: entry.auto_rank or 0):
        allowed = entry.commercial is True or allow_noncommercial
        if allowed and entry.find_weights(weights_folder):
            return entry
    return entries["nano"]


def _check_licence(entry: ModelEntry, *, allow_noncommercial: bool) -> None:
    if allow_noncommercial or entry.commercial is True:
        return
    if entry.commercial is None:
        _LOG.warning(
            "it is not clear whether the weights of %s may be used commercially (%s)",
            *(entry.name, entry.licence),
        )
        return
    raise ModelError(
        f"the weights of {entry.name} are under {entry.licence}, which forbids commercial use; "
        "set allow_noncommercial to true if yours is not commercial"
    )


def _missing(entry: ModelEntry, folder: Path) -> str:
    path = entry.path_of(entry.weights[0], folder)
    if any(source.is_download for source in entry.weights):
        cure = f"get them with: mono-depth models pull {entry.name}"
    elif entry.weights[0].page:
        cure = f"put there the file from {entry.weights[0].page}"
    else:
        cure = "the registry entry names that file"
    return f"{entry.name}: no weights at {path}; {cure}"


def _usable(device: torch.device | str) -> torch.device:
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"{device!r} is not a device such as cpu, cuda or cuda:1") from error
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            raise ModelError(f"device {chosen}: torch sees {count} CUDA devices; use cpu")
        use_true_fp32()
    return chosen
