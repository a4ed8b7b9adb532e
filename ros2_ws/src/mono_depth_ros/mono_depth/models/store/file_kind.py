"""What a file is that should be weights, told by its first bytes."""

from __future__ import annotations

import json
import re
import zipfile
from typing import IO

HEAD_BYTES = 1024
_SHOWN_BYTES = 40

_EXPORTED = ("models/model.json", "serialized_exported_program", "archive_format")
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_SAFETENSORS_PREFIX = 8  # bytes: the length of the header, little-endian
_MAX_SAFETENSORS_HEADER = 100_000_000  # as the package safetensors
TORCH_TYPES = (".pth", ".pt", ".ckpt", ".bin")  # files of torch.save
_PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!", "RAR"),
)
_FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes it"),
    (b"GGUF", "a GGUF file"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x93NUMPY", "an array of NumPy"),
)
_TAR_MAGIC, _TFLITE_MAGIC = slice(257, 262), slice(4, 8)
_WEB = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<!--", b"<?xml")
_SAVE_ALONE = "save its tensors alone where it was made: torch.save(net.state_dict(), 'net.pth')"


def foreign_kind(head: bytes, suffix: str = "") -> str:
    """Return what a file is instead of weights, with the way out; "" = nothing speaks against it.

    Args:
        head: its first `HEAD_BYTES`.
        suffix: of its name, such as ".pth"; "" = any kind of weights is right.
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs.github.com/spec/"):
        return "it is a Git LFS pointer, not the file itself: `git lfs pull` gets that"
    if text.startswith(b"<?xml") and b"<net " in text:
        return "it is the description of an OpenVINO network: take the ONNX file that it is made of"
    if text.startswith(_WEB):
        return "it is a web page, of a login or an error maybe: download the file again"
    if text.startswith((b'{"', b"{ ", b"[{")) and _is_text(head):
        return "it is the answer of a server in JSON: download the file again"
    for magic, name in _PACKED:
        if head.startswith(magic):
            return f"it is packed with {name}: unpack it first"
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            return f"it is {name}"
    if head[_TAR_MAGIC] == b"ustar":
        return "it is packed with tar: unpack it first"
    if head[_TFLITE_MAGIC] == b"TFL3":
        return "it is a TensorFlow Lite file: export the network to ONNX"
    if head and not any(head):
        return "it begins with zeros only, as a broken download or disk leaves it: get it again"
    if head and _is_text(head):
        said = " ".join(head[:_SHOWN_BYTES].decode("ascii", "replace").split())
        return f"it is text, which begins with {said!r}: download the file again"
    return _of_another_suffix(head, suffix)


def _of_another_suffix(head: bytes, suffix: str) -> str:
    is_torch = head.startswith(_ZIP) or head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04")
    if suffix == ".safetensors" and is_torch:
        return "it is a file of torch.save: name it .pth"
    if suffix in TORCH_TYPES and looks_like_safetensors(head):
        return "it is a safetensors file: name it .safetensors"
    is_named_so = suffix == ".safetensors" and looks_like_safetensors(head)
    if suffix in (*TORCH_TYPES, ".safetensors") and not is_named_so and _looks_like_onnx(head):
        return "it looks like an ONNX file: describe it with family onnx"
    if suffix == ".onnx" and (is_torch or looks_like_safetensors(head)):
        return "it holds weights without a network: export the network to ONNX"
    return ""


def looks_like_safetensors(head: bytes) -> bool:
    """Tell whether a file begins as the safetensors format does."""
    length = int.from_bytes(head[:_SAFETENSORS_PREFIX], "little")
    return head[_SAFETENSORS_PREFIX : _SAFETENSORS_PREFIX + 1] == b"{" and (
        2 <= length <= _MAX_SAFETENSORS_HEADER
    )


def whole_or_why(file: IO[bytes], bytes_in_file: int, suffix: str) -> str:
    """Return why a file that nobody knows the hash of cannot be whole weights; "" = it may be.

    Args:
        file: is read from its start.
        bytes_in_file: its size.
        suffix: of its name.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    foreign = foreign_kind(head, suffix)
    if foreign:
        return foreign
    if suffix == ".safetensors":
        return _safetensors_or_why(file, head, bytes_in_file)
    if suffix in TORCH_TYPES:
        if head.startswith(_ZIP):
            return "" if zipfile.is_zipfile(file) else "its end is missing: get it again"
        return "" if head.startswith(_PICKLE) else "it is no file of torch.save"
    if suffix == ".onnx" and not _looks_like_onnx(head):
        return "it is no ONNX file"
    return ""


def _safetensors_or_why(file: IO[bytes], head: bytes, bytes_in_file: int) -> str:
    if not looks_like_safetensors(head):
        return "it is no safetensors file"
    length = int.from_bytes(head[:_SAFETENSORS_PREFIX], "little")
    file.seek(_SAFETENSORS_PREFIX)
    try:
        header = json.loads(file.read(length))
        ends = [item["data_offsets"][1] for name, item in header.items() if name != "__metadata__"]
        expected = _SAFETENSORS_PREFIX + length + max(ends, default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return "the header of the safetensors file is damaged"
    if expected != bytes_in_file:
        return f"it has {bytes_in_file} bytes, its header tells of {expected}: get it again"
    return ""


def zip_or_why(file: IO[bytes], bytes_in_file: int) -> str:
    """Return why the zip file of torch.save must not be read; "" = it may, or it is no zip file.

    What is unpacked must not be more than the file: torch.save packs nothing.
    """
    file.seek(0)
    is_zip = file.read(len(_ZIP)) == _ZIP
    file.seek(0)
    if not is_zip:
        return ""
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        return f"its table of contents is damaged ({error})"
    finally:
        file.seek(0)
    names = {record.filename.partition("/")[2] for record in records}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return f"it is TorchScript, a program: {_SAVE_ALONE}"
    if any(name.startswith(_EXPORTED) for name in names):
        return f"it is a program of torch.export: {_SAVE_ALONE}"
    if "data.pkl" not in names:
        return "it is a zip archive, not a file of torch.save: unpack it first"
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        return "its records are compressed, which torch.save never does"
    if sum(record.file_size for record in records) > bytes_in_file:
        return "its records would take more memory than the file has bytes"
    return ""


def pickle_reason(error: Exception) -> str:
    """Return why torch refused a file, in words that never advise to read it unsafely."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    named = re.search(r"(?:GLOBAL|Unsupported class|Unsupported type) ([\w.]+)", text)
    if named:
        return f"it holds a {named[1]}, which is code and no tensor: {_SAVE_ALONE}"
    if "weights_only" in text or "eights only" in text:
        told = re.search(r"WeightsUnpickler error: ([^\n]{1,120})", text)
        what = told[1].strip() if told else "it is damaged, or holds more than tensors"
        return f"{what}: get it again, or {_SAVE_ALONE}"
    return text.splitlines()[0][:200] if text.strip() else type(error).__name__


def _is_text(head: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head[:64])


def _looks_like_onnx(head: bytes) -> bool:
    """Tell whether a file begins with a field of an ONNX ModelProto: version, producer or graph."""
    return head[:1] in (b"\x08", b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42") and not _is_text(head)
