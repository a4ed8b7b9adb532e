"""ONNX files: opened with all that they are made of, and hashed.

The weights of a network may lie in files beside it ("external data"); torch writes them so by
default. ONNX Runtime looks for those in the folder of the model where it is given a path, and in
the working directory where it is given bytes, which would be another network's weights there.

Source: onnx/onnx.proto of the ONNX project for the numbers of the fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from mono_depth.errors import ModelError
from mono_depth.models.store.file_kind import HEAD_BYTES, foreign_kind
from mono_depth.models.store.weights_file import open_weights

# Fields of the messages of ONNX that lead to tensors.
_LEADS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2  # of an entry
_MAX_DEPTH = 64
_ONE_FILE = (
    "or export the network in one file: torch.onnx.export(..., external_data=False), "
    "onnx.save(onnx.load(FILE), FILE)"
)


@contextmanager
def open_onnx(
    path: Path, sha256: str = "", data_sha256: str = ""
) -> Iterator[tuple[bytes | str, str]]:
    """Open an ONNX file and yield what ONNX Runtime is to load, and the SHA-256 of all of it.

    Args:
        path: of the file.
        sha256: what the file must hash to, "" = anything.
        data_sha256: what the files of its weights must hash to: one its own hash, several that of
            their hashes by name. "" = anything, where `sha256` is so, too.

    Raises:
        ModelError: see `open_weights`; it is no ONNX file; or its weights lie elsewhere.
    """
    with open_weights(path, sha256) as (file, digest), ExitStack() as opened:
        content = file.read()
        foreign = foreign_kind(content[:HEAD_BYTES], ".onnx")
        if foreign:
            raise ModelError(f"{path} is not an ONNX file: {foreign}")
        names = sorted(external_files(content, path))
        if not names:
            yield content, digest
            return
        hashes = [opened.enter_context(open_weights(_beside(path, name)))[1] for name in names]
        data = hashes[0] if len(hashes) == 1 else _sha256_of("".join(hashes))
        listed = ", ".join(names[:3])
        if data_sha256 and data != data_sha256:
            raise ModelError(
                f"{listed} of {path} has sha256 {data}, but the registry expects {data_sha256}: "
                "the file is damaged or another one"
            )
        if sha256 and not data_sha256:
            raise ModelError(
                f"the sha256 of {path} says nothing of its weights, which lie in {listed}: add "
                f"data_sha256: {data} to the registry entry, {_ONE_FILE}"
            )
        yield str(path), _sha256_of(digest + data)


def _sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _beside(path: Path, name: str) -> Path:
    """Return the file of a network's weights.

    Raises:
        ModelError: it is not there, or not in the folder of the network.
    """
    pure = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or pure.is_absolute() or ".." in pure.parts:
        raise ModelError(f"{path}: its weights lie in {name[:80]!r}, not in its own folder")
    data = path.parent / name
    if not data.exists():
        raise ModelError(
            f"the weights of {path} lie in {name}, which is not beside it: copy that file, too, "
            f"{_ONE_FILE}"
        )
    if not data.resolve().is_relative_to(path.parent.resolve()):
        raise ModelError(
            f"{path}: its weights {name} are a link out of its folder: copy them there, {_ONE_FILE}"
        )
    return data


def external_files(content: bytes, path: Path) -> set[str]:
    """Return the names of the files that hold weights of a network.

    Args:
        content: of its ONNX file.
        path: of the file, for messages.

    Raises:
        ModelError: it is not an ONNX file.
    """
    found: set[str] = set()
    waiting: list[tuple[str, memoryview, int]] = [("model", memoryview(content), 0)]
    try:
        while waiting:
            kind, data, depth = waiting.pop()
            if depth > _MAX_DEPTH:
                raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
            for number, value in _fields(data):
                inner = _LEADS[kind].get(number)
                if inner == "entry":
                    found |= _location(value)
                elif inner is not None:
                    waiting.append((inner, value, depth + 1))
    except ValueError as error:
        raise ModelError(f"{path} is not an ONNX file, or a damaged one: {error}") from error
    return found


def _location(entry: memoryview) -> set[str]:
    texts = {number: bytes(value).decode("utf-8") for number, value in _fields(entry)}
    return {texts.get(_VALUE, "")} if texts.get(_KEY) == "location" else set()


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the fields of a protobuf message that have a length.

    Raises:
        ValueError: it is no such message.
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, place = _varint(data, place)
        elif wire in (1, 5):
            place += 8 if wire == 1 else 4
        elif wire == 2:
            length, place = _varint(data, place)
            if place + length > len(data):
                raise ValueError("it ends too early")
            yield number, data[place : place + length]
            place += length
        else:
            raise ValueError(f"byte {place} is no field of a message")
        if number == 0 or place > len(data):
            raise ValueError("it ends too early")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("it ends too early")
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
