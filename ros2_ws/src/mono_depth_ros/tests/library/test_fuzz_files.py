"""Files of every kind that are read, damaged in every place: an error, and nothing else."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save as as_safetensors

from damaged_files import damaged
from mono_depth.errors import MonoDepthError
from mono_depth.models.store.file_kind import whole_or_why
from mono_depth.models.store.onnx_file import open_onnx
from mono_depth.models.store.registry import read_registry
from mono_depth.models.store.weights import read_configured, read_tensors
from mono_depth.recordings.images import read_depth, read_image
from mono_depth.recordings.open import open_sequence
from mono_depth.recordings.pose_file import read_poses

_DEFAULT, _ACCEPTANCE = 60, 2000
_MOST_KIB = 400_000


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What reads a kind of file, and a whole one."""

    name: str  # of the file
    content: bytes
    read: Callable[[Path], object]


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def image(suffix: str, dtype: type = np.uint8) -> bytes:
    values = (np.arange(48).reshape(6, 8) * 5).astype(dtype)
    return cv2.imencode(suffix, values)[1].tobytes()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones((6, 8), np.float32))
    return file.getvalue()


def frames(path: Path) -> None:
    """Read the recording that a damaged file belongs to."""
    folder = path.parent
    kind = "tum" if (folder / "groundtruth.txt").exists() else "folder"
    for frame in open_sequence(str(folder), kind):
        assert frame.rgb.dtype == np.uint8


def whole(path: Path) -> None:
    with path.open("rb") as file:
        assert isinstance(whole_or_why(file, path.stat().st_size, path.suffix), str)


def onnx(path: Path) -> None:
    with open_onnx(path):
        pass


ENTRY = {
    "family": "onnx",
    "kind": "metric",
    "description": "A net.",
    "licence": "MIT",
    "commercial": True,
    "weights": [{"file": "a.onnx", "sha256": "0" * 64}, {"hub": "a/b", "file": "c.onnx"}],
    "input": {"width": 64, "height": 48, "mean": [0.5, 0.5, 0.5], "rule": "fixed"},
    "max_depth_m": 10.0,
}
TENSORS = {"a": torch.ones(3, 4), "b": torch.arange(6)}
EXTERNAL = b"\x6a\x16\x0a\x08location\x12\x0aw.onnx.bin" + b"\x70\x01"
ONNX = b"\x08\x07\x3a\x1c" + b"\x2a\x1a" + EXTERNAL
CAMERA = json.dumps({"fx": 5.0, "fy": 5.0, "cx": 2.5, "cy": 1.5, "depth_units_per_m": 1000})
POSES = "# t x y z q\n0 0 0 0 0 0 0 1\n0.1 0.1 0 0 0 0 0 1\n0.2 0.2 0 0 0 0 0 1\n"
LIST = "# stamp file\n1.0 rgb/1.png\n2.0 rgb/1.png\n"
READERS = [
    Reader(name="net.pth", content=saved(TENSORS), read=read_tensors),
    Reader(name="old.pth", content=saved({"state_dict": TENSORS, "epoch": 3}), read=read_tensors),
    Reader(
        name="moge.pt",
        content=saved({"model_config": {"a": 1}, "model": TENSORS}),
        read=read_configured,
    ),
    Reader(name="net.safetensors", content=as_safetensors(TENSORS), read=read_tensors),
    Reader(name="part.pth", content=saved(TENSORS), read=whole),
    Reader(name="part.safetensors", content=as_safetensors(TENSORS), read=whole),
    Reader(name="net.onnx", content=ONNX, read=onnx),
    Reader(
        name="registry.yaml",
        content=yaml.safe_dump({"models": {"mine": ENTRY}}).encode(),
        read=lambda path: [entry.input for entry in read_registry(path).values()],
    ),
    Reader(name="d.png", content=image(".png", np.uint16), read=lambda p: read_depth(p, 1000.0)),
    Reader(name="d.tiff", content=image(".tiff", np.float32), read=lambda p: read_depth(p, 1.0)),
    Reader(name="d.pfm", content=image(".pfm", np.float32), read=lambda p: read_depth(p, 1.0)),
    Reader(name="d.npy", content=array(), read=lambda p: read_depth(p, 1.0)),
    *(
        Reader(name=f"c{suffix}", content=image(suffix), read=read_image)
        for suffix in (".png", ".jpg", ".bmp", ".webp", ".pgm", ".tif")
    ),
    Reader(name="poses.txt", content=POSES.encode(), read=read_poses),
    Reader(name="folder/intrinsics.json", content=CAMERA.encode(), read=frames),
    Reader(name="folder/intrinsics.txt", content=b"5 0 2.5\n0 5 1.5\n0 0 1\n", read=frames),
    Reader(name="folder/poses.txt", content=POSES.encode(), read=frames),
    Reader(name="fr1/rgb.txt", content=LIST.encode(), read=frames),
    Reader(name="fr1/groundtruth.txt", content=POSES.encode(), read=frames),
]


def with_recordings(folder: Path) -> None:
    """Put the rest of a recording beside the files that are damaged."""
    for name in ("folder", "fr1"):
        for kind, dtype in (("rgb", np.uint8), ("depth", np.uint16)):
            (folder / name / kind).mkdir(parents=True)
            (folder / name / kind / "1.png").write_bytes(image(".png", dtype))
    (folder / "fr1" / "depth.txt").write_text("1.0 depth/1.png\n2.0 depth/1.png\n")


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def read_damaged_files(folder: Path, count: int, seed: int) -> int:
    """Read damaged files in turn; return how many were refused."""
    random_, told = random.Random(seed), []
    inside = folder / "inside"
    inside.mkdir()
    with_recordings(inside)
    for number in range(count):
        reader = READERS[number % len(READERS)]
        path = inside / reader.name
        others = [item for item in READERS if item is not reader]
        for other in others:  # whole again, where this one belongs to the same recording
            if Path(other.name).parent == Path(reader.name).parent != Path():
                (inside / other.name).write_bytes(other.content)
        if path.name == "intrinsics.txt":
            path.with_suffix(".json").unlink()
        path.write_bytes(damaged(reader.content, random_))
        before = files_in(folder)
        try:
            reader.read(path)
        except MonoDepthError as error:
            told.append(str(error))
        except Exception as error:
            raise AssertionError(f"file {number} of seed {seed}: {reader.name}") from error
        assert files_in(folder) == before, (number, reader.name)
    assert all(0 < len(text) < 3000 and "weights_only" not in text for text in told)
    return len(told)


def fuzz(folder: Path, count: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of them is meant for a user either
        refused = read_damaged_files(folder, count, seed)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_KIB
    assert refused > count // 4
    assert os.listdir(folder) == ["inside"]  # noqa: PTH208


@pytest.mark.slow
def test_damaged_files_are_read_or_refused(tmp_path, monkeypatch):
    fuzz(tmp_path, _DEFAULT, 1, monkeypatch)


@pytest.mark.acceptance
def test_two_thousand_damaged_files_are_read_or_refused(tmp_path, monkeypatch):
    fuzz(tmp_path, _ACCEPTANCE, 2, monkeypatch)


@pytest.mark.acceptance
def test_damaged_bags_are_read_or_refused(tmp_path):
    pytest.importorskip("rosbags")
    from written_bags import SECOND_NS, Messages

    make = Messages()
    random_, refused = random.Random(3), 0
    topics = [
        (
            name,
            "sensor_msgs/msg/Image",
            [
                (t * SECOND_NS, make.image(t * SECOND_NS, encoding, np.full(shape, 9, dtype)))
                for t in (1, 2)
            ],
        )
        for name, encoding, shape, dtype in (
            ("/cam/image_raw", "bgr8", (4, 6, 3), np.uint8),
            ("/cam/depth", "16UC1", (4, 6), np.uint16),
        )
    ]
    info = ("/cam/camera_info", "sensor_msgs/msg/CameraInfo", [(SECOND_NS, make.info())])
    for storage in ("sqlite3", "mcap"):
        bag = make.write(tmp_path / storage, [*topics, info], storage=storage)
        contents = {file: file.read_bytes() for file in bag.iterdir()}
        for _ in range(150):
            for file, content in contents.items():
                file.write_bytes(content)
            file = random_.choice(list(contents))
            file.write_bytes(damaged(contents[file], random_))
            try:
                for _ in open_sequence(str(bag)):
                    pass
            except MonoDepthError:
                refused += 1
    assert refused > 50
