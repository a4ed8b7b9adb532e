"""The list of known models: `models/registry.yaml` and the files that users add."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mono_depth.data import OutputKind
from mono_depth.errors import ConfigError, ModelError
from mono_depth.models.input_spec import InputSpec
from mono_depth.models.store.untrusted_yaml import as_path, is_text, read_yaml, shown
from mono_depth.system import resources

UNKNOWN_SCALE_SIGMA = 0.5  # of the metres of networks whose error nobody has measured here

_FAST_GFLOP, _MEDIUM_GFLOP = 30.0, 400.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_REPOSITORY = re.compile(r"\w[\w.-]*(/\w[\w.-]*){1,2}")
_HUB, _MODELSCOPE = "https://huggingface.co", "www.modelscope.cn"


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """Where one file of weights comes from. With no hub, url or page it lies at `file`."""

    file: str  # path inside the hub repository, name of the download, or absolute path
    hub: str = ""  # "organisation/repository" of huggingface.co
    modelscope: str = ""  # the same of modelscope.cn
    revision: str = ""  # "" = the newest: main there, master here
    url: str = ""
    page: str = ""  # where a person gets the file, which cannot be fetched
    sha256: str = ""  # "" = not known, the file cannot be verified
    data_sha256: str = ""  # of the files beside an .onnx that hold its weights, see `onnx_file`

    @property
    def is_download(self) -> bool:
        """Tell whether `mono-depth models pull` can fetch this file."""
        return bool(self.hub or self.modelscope or self.url)


def url_of(source: WeightsSource) -> str:
    """Return where `source` is downloaded from; honours `HF_ENDPOINT` and `MODELSCOPE_DOMAIN`."""
    if source.url:
        return source.url
    if source.modelscope:
        domain = os.environ.get("MODELSCOPE_DOMAIN") or _MODELSCOPE
        endpoint = domain if "://" in domain else f"https://{domain}"
        path, newest = f"models/{source.modelscope}", "master"
    else:
        endpoint, path, newest = os.environ.get("HF_ENDPOINT") or _HUB, source.hub, "main"
    revision = quote(source.revision or newest, safe="")
    return f"{endpoint.rstrip('/')}/{path}/resolve/{revision}/{quote(source.file)}"


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """What the publishers of a model measured. Comparable only within one source."""

    metric: str  # such as AbsRel
    dataset: str
    value: float
    source: str  # address


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One model of the registry."""

    name: str
    family: str  # which code runs it
    kind: OutputKind
    description: str
    licence: str  # of the weights
    commercial: bool | None  # None = the publisher does not say clearly
    weights: tuple[WeightsSource, ...]  # the first is pulled, any that is there is used
    variant: str = ""  # size within the family
    parameters_m: float | None = None  # of the network, in millions
    gflop: float | None = None  # work for one image of 640x480 pixels
    input: InputSpec | None = None  # None = fixed by the family
    max_depth_m: float | None = None  # farthest depth the network can say
    auto_rank: int | None = None  # `auto` takes the lowest that is usable; None = never
    input_name: str = ""  # onnx: of the image; "" = the only input
    camera_input: str = ""  # onnx: of the input that takes the camera; "" = there is none
    focal_px: float | None = None  # onnx, metric_focal: see `models.families.onnx`
    output_name: str = ""  # onnx: "" = the only output
    published: PublishedScore | None = None
    # relative deviation of its metres on images like a user's, where nothing measures the scale
    scale_sigma_rel: float = UNKNOWN_SCALE_SIGMA
    average_mirrored: bool = False  # run the mirror image too, and average: twice the time

    @property
    def speed(self) -> str:
        """Say how much work an image is: fast up to 30 GFLOP, medium up to 400, slow; else ""."""
        if self.gflop is None:
            return ""
        classes = (("fast", _FAST_GFLOP), ("medium", _MEDIUM_GFLOP), ("slow", inf))
        return next(name for name, most in classes if self.gflop <= most)

    def path_of(self, source: WeightsSource, weights_folder: Path) -> Path:
        """Return where the file of `source` lies or would lie."""
        if source.is_download or source.page:
            return weights_folder / self.name / Path(source.file).name
        return Path(source.file)

    def find_weights(self, weights_folder: Path) -> tuple[WeightsSource, Path] | None:
        """Return the first source whose file is on this machine, and its path."""
        return next(self.weights_here(weights_folder), None)

    def weights_here(self, weights_folder: Path) -> Iterator[tuple[WeightsSource, Path]]:
        """Yield the sources whose file is on this machine, and its path."""
        for source in self.weights:
            path = self.path_of(source, weights_folder)
            if path.is_file():
                yield source, path


class Registry(Mapping[str, ModelEntry]):
    """Entries by name."""

    def __init__(self, entries: Iterable[ModelEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> ModelEntry:
        try:
            return self._entries[name]
        except KeyError:
            close = difflib.get_close_matches(name[:80], self._entries, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else "none has a similar name."
            raise ModelError(
                f"no model {shown(name)} in the registry: {hint} `mono-depth models list` shows all"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def read_registry(extra: Path | None = None) -> Registry:
    """Read the shipped registry and lay the entries of `extra` over it.

    An entry of `extra` with a known name replaces only the keys it gives.

    Raises:
        ConfigError: a file is missing, is not YAML or describes a model wrongly.
    """
    merged: dict[str, dict[str, Any]] = {}
    shipped = resources.share_dir() / "models" / "registry.yaml"
    for file in (shipped, *([extra] if extra else [])):
        for name, keys in _read_file(file, is_ours=file is shipped).items():
            merged[name] = {**merged.get(name, {}), **keys}
    return Registry(_entry(name, keys) for name, keys in merged.items())


def _read_file(file: Path, *, is_ours: bool) -> dict[str, dict[str, Any]]:
    content = read_yaml(file, is_ours=is_ours)
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise ConfigError(f"{file} has no `models:` with an entry for each model")
    for name, keys in models.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == "auto":
            raise ConfigError(f"{file}: {shown(name)} is no model name (a-z, 0-9, _ . -; not auto)")
        if not isinstance(keys, dict):
            raise ConfigError(f"{file}: model {name} is not a mapping of keys")
        if "weights" in keys:
            keys["weights"] = [_located(item, file) for item in _as_list(keys["weights"])]
    return models


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _located(weights: object, file: Path) -> object:
    """Make the path of a local weights file absolute; it is relative to its registry file."""
    if isinstance(weights, dict) and not any(weights.get(key) for key in ("hub", "url", "page")):
        given = weights.get("file")
        if isinstance(given, str) and given:
            return {**weights, "file": str(file.absolute().parent / as_path(given, str(file)))}
    return weights


def _entry(name: str, keys: dict[str, Any]) -> ModelEntry:
    where = f"registry entry {name}"
    values = dict(keys)
    for key in _POSITIVE:
        number = values.get(key)
        if isinstance(number, (int, float)) and not 0.0 < number <= _LARGEST:
            raise ConfigError(
                f"{where}: {key} is {shown(number)}, expected more than 0, up to {_LARGEST:g}"
            )
    parsed = {"kind", "weights", "input", "commercial", "published"}
    _check_keys(where, values, ModelEntry, parsed, {"name"})
    required = ("family", "kind", "description", "licence", "commercial", "weights")
    missing = [key for key in required if key not in values]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    try:
        values["kind"] = OutputKind(values["kind"])
    except (ValueError, TypeError):
        known = ", ".join(kind.value for kind in OutputKind)
        raise ConfigError(f"{where}: kind {shown(values['kind'])} is not one of {known}") from None
    commercial = values["commercial"]
    if not isinstance(commercial, bool) and commercial != "unknown":
        raise ConfigError(f"{where}: commercial is {shown(commercial)}, not true, false or unknown")
    values["commercial"] = None if commercial == "unknown" else commercial
    sources = _as_list(values["weights"])
    values["weights"] = tuple(_source(where, item) for item in sources)
    if not sources:
        raise ConfigError(f"{where} lists no weights")
    if values.get("input") is not None:
        values["input"] = _input(where, values["input"])
    if values.get("published") is not None:
        values["published"] = _published(where, values["published"])
    sigma = values.get("scale_sigma_rel", UNKNOWN_SCALE_SIGMA)
    if not 0.0 < sigma < inf:
        raise ConfigError(f"{where}: scale_sigma_rel is {sigma!r}, not a deviation above 0")
    return ModelEntry(name=name, **values)


def _published(where: str, value: object) -> PublishedScore:
    names = [item.name for item in fields(PublishedScore)]
    if not isinstance(value, dict) or sorted(map(str, value)) != sorted(names):
        expected = ", ".join(names)
        raise ConfigError(f"{where}: published is {shown(value)}, not a mapping of {expected}")
    _check_keys(f"{where}, published", value, PublishedScore, set(), set())
    return PublishedScore(**value)


def _source(where: str, value: object) -> WeightsSource:
    if not isinstance(value, dict) or not value.get("file"):
        raise ConfigError(f"{where}: weights need at least `file`, got {shown(value)}")
    values = {key: item for key, item in value.items() if item is not None}
    _check_keys(f"{where}, weights", values, WeightsSource, set(), set())
    source = WeightsSource(**values)
    as_path(source.file, where)
    if (source.is_download or source.page) and Path(source.file).name in ("", ".."):
        raise ConfigError(f"{where}: {shown(source.file)} names no file")
    for repository in filter(None, (source.hub, source.modelscope)):
        if not _REPOSITORY.fullmatch(repository):
            raise ConfigError(f"{where}: {shown(repository)} is not ORGANISATION/REPOSITORY")
    for key in ("sha256", "data_sha256"):
        pin = getattr(source, key)
        if pin and not _SHA256.fullmatch(pin):
            raise ConfigError(f"{where}: {key} {shown(pin)} is not 64 digits of 0-9a-f")
    if source.url and (source.hub or source.modelscope):
        raise ConfigError(f"{where}: weights have both hub and url")
    if source.hub and source.modelscope:
        raise ConfigError(f"{where}: weights have both hub and modelscope: list them as two")
    if source.page and source.is_download:
        raise ConfigError(f"{where}: weights with hub or url need no page")
    return source


def _input(where: str, value: object) -> InputSpec:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: input is {shown(value)}, not a mapping of keys")
    values = dict(value)
    if "size" in values:
        values["width"] = values["height"] = values.pop("size")
    _check_keys(f"{where}, input", values, InputSpec, {"mean", "std"}, set())
    for key in ("mean", "std"):
        if key in values:
            values[key] = _three(where, key, values[key])
    try:
        return InputSpec(**values)
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _three(where: str, key: str, value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(
        isinstance(item, (int, float)) and not isinstance(item, bool) for item in value
    ):
        raise ConfigError(f"{where}: {key} is {shown(value)}, not a list of 3 numbers")
    try:
        return tuple(float(item) for item in value)
    except OverflowError:
        raise ConfigError(f"{where}: {key} is {shown(value)}, not a list of 3 numbers") from None


_POSITIVE = ("max_depth_m", "parameters_m", "gflop", "focal_px")
_LARGEST = 1e9  # of them
_PLAIN: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "int | None": int,
    "float": (int, float),
    "float | None": (int, float),
}


def _check_keys(
    where: str, values: dict[str, Any], cls: type, parsed: set[str], refused: set[str]
) -> None:
    """Refuse keys that `cls` does not have and values of another type than it declares."""
    types = {item.name: str(item.type) for item in fields(cls) if item.name not in refused}
    for key, value in values.items():
        if key not in types:
            close = difflib.get_close_matches(str(key)[:80], types, n=1)
            hint = f", did you mean {close[0]}?" if close else f"; known: {', '.join(types)}"
            raise ConfigError(f"{where}: unknown key {shown(key)}{hint}")
        if isinstance(value, str) and not is_text(value):
            raise ConfigError(f"{where}: {key} holds characters that are none")
        wanted = None if key in parsed else _PLAIN.get(types[key])
        optional = value is None and types[key].endswith("None")
        is_wanted = wanted and isinstance(value, wanted)
        if isinstance(value, bool) and wanted is not bool:
            is_wanted = False  # though Python counts it as an int
        if wanted and not optional and not is_wanted:
            raise ConfigError(f"{where}: {key} is {shown(value)}, expected {types[key]}")


def with_short_side(entry: ModelEntry, pixels: int | None) -> ModelEntry:
    """Return `entry` with the short side of its input changed; None or 0 keeps its own.

    Raises:
        ModelError: the family fixes its input size.
    """
    if not pixels:
        return entry
    if entry.input is None:
        raise ModelError(f"the input size of {entry.name} is fixed; leave input_size at 0")
    try:
        return replace(entry, input=entry.input.with_short_side(pixels))
    except ConfigError as error:
        raise ModelError(f"input_size {pixels} does not suit {entry.name}: {error}") from None


def shrunk(entry: ModelEntry, factor: float) -> ModelEntry:
    """Return `entry` with the sides of its input scaled down, to whole multiples; 1 keeps them.

    Raises:
        ModelError: the family fixes its input size.
    """
    if factor == 1.0:
        return entry
    if entry.input is None:
        raise ModelError(f"the input size of {entry.name} is fixed")
    spec, step = entry.input, entry.input.multiple_of
    width, height = (
        max(step, int(side * factor / step) * step) for side in (spec.width, spec.height)
    )
    return replace(entry, input=replace(spec, width=width, height=height))
