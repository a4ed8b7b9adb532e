"""From the name of a model to a network that is ready to run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mono_depth.config import CompletionConfig
from mono_depth.errors import ModelError
from mono_depth.models.family import LoadRequest
from mono_depth.models.family_table import family_of
from mono_depth.models.mirrored import MirrorAveraged
from mono_depth.models.order_check import check_order
from mono_depth.models.protocol import LoadedModel, NetworkEngines
from mono_depth.models.store.registry import (
    ModelEntry,
    Registry,
    WeightsSource,
    read_registry,
    shrunk,
    with_short_side,
)
from mono_depth.models.store.untrusted_yaml import as_path
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
        name: registry entry, or `auto`: the usable entry with the lowest `auto_rank` whose file
            is whole.
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
            not the expected ones, or take near for far, or the device is not there.
        ConfigError: a registry file is wrong.
    """
    folder = as_path(str(weights_folder or weights_dir()), "weights_dir")
    entries = read_registry(as_path(str(registry), "registry") if registry else None)
    request = partial(
        _request,
        input_size=input_size,
        shrink=shrink,
        threads=threads or None,
        device=_usable(device),
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
    if threads:
        torch.set_num_threads(threads)
    if name == "auto":
        usable = usable_files(entries, folder, allow_noncommercial=allow_noncommercial)
        entry, model = _first_that_loads(usable, request)
    else:
        entry = entries[name]
        _check_licence(entry, allow_noncommercial=allow_noncommercial)
        family_of(entry)  # one that is not known is said first
        found = entry.find_weights(folder)
        if found is None:
            raise ModelError(_missing(entry, folder))
        model = _loaded(request(entry, *found))
    if engines is not None:
        engines.fit(model, entry)
    if entry.average_mirrored:
        model = MirrorAveraged(model)
    _LOG.info(
        "model %s (%s, weights %s, sha256 %s) on %s",
        *(entry.name, entry.kind.value, entry.licence, model.weights_sha256[:12], model.device),
    )
    return model


def _request(
    entry: ModelEntry,
    source: WeightsSource,
    weights: Path,
    *,
    input_size: int | None,
    shrink: float,
    **options: Any,  # noqa: ANN401 - of `LoadRequest`
) -> LoadRequest:
    return LoadRequest(
        entry=shrunk(with_short_side(entry, input_size), shrink),
        weights=weights,
        sha256=source.sha256,
        data_sha256=source.data_sha256,
        **options,
    )


def _loaded(request: LoadRequest) -> LoadedModel:
    """Return a model whose weights are those of its entry, as far as that can be told."""
    family = family_of(request.entry)
    if not request.sha256:
        _LOG.warning("the registry knows no sha256 of %s: unverified", request.weights)
    model = family.load(request)
    if not request.sha256:
        check_order(model)
    return model


def _first_that_loads(
    files: Iterable[tuple[ModelEntry, WeightsSource, Path]],
    request: Callable[[ModelEntry, WeightsSource, Path], LoadRequest],
) -> tuple[ModelEntry, LoadedModel]:
    """Return the first model whose file is whole: a broken download must not stop a robot.

    Raises:
        ModelError: there is none; that of the last.
    """
    last: ModelError | None = None
    for entry, source, weights in files:
        made = request(entry, source, weights)
        try:
            return entry, _loaded(made)
        except ModelError as error:
            _LOG.warning("model auto passes over %s: %s", entry.name, error)
            last = error
    raise last or ModelError("nano is missing: the installation is incomplete")


def usable_files(
    entries: Registry, folder: Path, *, allow_noncommercial: bool
) -> Iterator[tuple[ModelEntry, WeightsSource, Path]]:
    """Yield what `auto` may use, the lowest `auto_rank` first, and `nano` last.

    That is what is on this machine and may be used commercially, or at all with
    `allow_noncommercial`.
    """
    ranked = [
        entry
        for entry in entries.values()
        if entry.auto_rank is not None and (entry.commercial is True or allow_noncommercial)
    ]
    for entry in (*sorted(ranked, key=lambda entry: entry.auto_rank or 0), entries["nano"]):
        for source, path in entry.weights_here(folder):
            yield entry, source, path


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
