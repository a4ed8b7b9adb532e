"""Checkpoints as people have them, and files that are none."""

from __future__ import annotations

import argparse
import gzip
import io
import pickle
import resource
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mono_depth.errors import ModelError
from mono_depth.models.store.weights import load_strictly, read_tensors

NET = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in NET.items()}


def loaded(content: object, path) -> list[float]:
    """Return what a network says that was loaded from a checkpoint."""
    torch.save(content, path)
    net = nn.Linear(2, 1)
    load_strictly(net, read_tensors(path)[0], str(path))
    return net(torch.tensor([10.0, 100.0])).tolist()


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": NET, "epoch": 3},
        {"model_state_dict": NET, "optimizer_state_dict": {"state": {}, "param_groups": [{}]}},
        {"model": prefixed("module."), "optimizer": {"state": {0: {"step": 1}}}, "epoch": 9},
        {"optimizer": {"state": {}}, "model": NET},
        {"net": NET, "args": {"lr": 0.1}},  # the only tensors by name: no other is meant
        prefixed("module."),
        prefixed("module._orig_mod."),  # compiled, then trained on several GPUs
        {"state_dict": prefixed("model.")},  # the attribute of a Lightning module
        {"model": NET, "teacher": NET},  # the known name counts
        {"checkpoint": {"state_dict": prefixed("module."), "step": 9}, "config": {"lr": 0.1}},
        {"state": {"net": {"params": NET}, "adam": {"state": {0: {"step": torch.ones(1)}}}}},
    ],
)
def test_the_network_of_a_training_is_found_in_its_checkpoint(tmp_path, content):
    assert loaded(content, tmp_path / "net.pth") == [213.0]


@pytest.mark.parametrize("name", ["epoch=3.ckpt", "pytorch_model.bin"])
def test_a_checkpoint_may_have_the_names_that_frameworks_give_it(tmp_path, name):
    assert loaded({"state_dict": NET}, tmp_path / name) == [213.0]


def test_a_prefix_is_taken_off_safetensors_too(tmp_path):
    save_file(prefixed("module."), tmp_path / "net.safetensors")
    assert set(read_tensors(tmp_path / "net.safetensors")[0]) == set(NET)


def test_loading_stays_strict_behind_a_prefix(tmp_path):
    torch.save(prefixed("module.") | {"module.more": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="1 unexpected: more"):
        load_strictly(nn.Linear(2, 1), read_tensors(tmp_path / "net.pth")[0], "net.pth")


def test_a_network_among_others_is_named_with_the_way_out(tmp_path):
    trained = {"state_dict": prefixed("net.") | {"criterion.weight": torch.zeros(1)}}
    torch.save(trained, tmp_path / "net.ckpt")
    message = r"is there, beside others, with 'net.' before its names: .*torch.save\(net.state_dict"
    with pytest.raises(ModelError, match=message):
        load_strictly(nn.Linear(2, 1), read_tensors(tmp_path / "net.ckpt")[0], "net.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": NET, "b": NET}, r"several networks \(a, b\), expected one; save them alone"),
        ({"model": NET, "state_dict": NET}, r"several networks \(model, state_dict\)"),
        ({"epoch": 3}, r"'epoch' is a int, expected a tensor; .*torch.save\(net.state_dict\(\)"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_way_out(tmp_path, content, message):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=message):
        read_tensors(tmp_path / "net.pth")


def script() -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Linear(2, 1), torch.zeros(1, 2)), file)
    return file.getvalue()


def exported() -> bytes:
    """Return the beginnings of a file of torch.export.save."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("data/weights/weight_0", "models/model.json", "archive_format"):
            archive.writestr(f"archive/{name}", b"{}")
    return file.getvalue()


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 99123456\n"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: LFS, "it is a Git LFS pointer, not the file itself: `git lfs pull`"),
        (lambda: b"\xef\xbb\xbf<!DOCTYPE html><title>Log in", "it is a web page, of a login"),
        (lambda: b'{"error": "Repository not found"}', "the answer of a server in JSON"),
        (lambda: gzip.compress(b"weights"), "it is packed with gzip: unpack it first"),
        (lambda: b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file, as Keras writes it"),
        (lambda: bytes(4096), "it begins with zeros only"),
        (lambda: b"Entry not found\n", "it is text, which begins with 'Entry not found'"),
        (lambda: b"<!-- saved -->\n<html>", "it is a web page, of a login"),
        (lambda: b'<?xml version="1.0"?>\n<net name="x">', "description of an OpenVINO network"),
        (lambda: b"\x1c\0\0\0TFL3" + bytes(64), "a TensorFlow Lite file: export the network"),
        (lambda: b"\x93NUMPY\x01\0" + bytes(64), "an array of NumPy"),
        (lambda: b"net.pth".ljust(257, b"\0") + b"ustar\x0000", "packed with tar: unpack it"),
        (lambda: b"\x08\x07\x12\x07pytorch\x3a\x10", "looks like an ONNX file"),
    ],
)
def test_what_is_no_weights_is_named_by_its_first_bytes(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content())
    with pytest.raises(ModelError, match=message) as caught:
        read_tensors(tmp_path / name)
    assert "weights_only" not in str(caught.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (exported, r"it is a program of torch.export: .*torch.save\(net.state_dict\(\)"),
        (lambda: pickle.dumps(NET), r"more than tensors: get it again, or save its tensors alone"),
        (script, r"it is TorchScript, a program: .*torch.save\(net.state_dict\(\)"),
        (lambda: saved(nn.Linear(2, 1)), r"holds a torch.nn.modules.linear.Linear, which is code"),
        (lambda: saved({"model": NET, "args": argparse.Namespace(lr=1)}), "argparse.Namespace"),
        (lambda: saved({"model": NET, "loss": np.float64(1.0)}), "numpy.*which is code"),
    ],
)
def test_what_holds_more_than_tensors_is_named_and_nobody_is_told_to_trust_it(
    tmp_path, content, message
):
    (tmp_path / "net.pth").write_bytes(content())
    with pytest.raises(ModelError, match=message) as caught:
        read_tensors(tmp_path / "net.pth")
    told = str(caught.value).lower()
    assert not any(text in told for text in ("weights_only", "\x1b", "arbitrary code", "trust"))


def test_a_file_under_the_name_of_another_kind_says_which(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(saved(NET))
    with pytest.raises(ModelError, match=r"it is a file of torch.save: name it \.pth"):
        read_tensors(tmp_path / "net.safetensors")
    save_file(NET, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"it is a safetensors file: name it \.safetensors"):
        read_tensors(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (lambda: torch.empty(1, 2, device="meta"), r"without values \(meta\)"),
        (lambda: torch.eye(2).to_sparse(), "of layout sparse_coo"),
        (lambda: torch.ones(1, 2, dtype=torch.complex64), "complex"),
    ],
)
def test_tensors_that_are_no_dense_numbers_are_refused(tmp_path, tensor, message):
    torch.save({"weight": tensor(), "bias": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=f"tensor weight is {message}, expected dense numbers"):
        read_tensors(tmp_path / "net.pth")


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.int64])
def test_whole_numbers_in_place_of_a_weight_are_refused(tmp_path, dtype):
    torch.save({**NET, "weight": torch.ones(1, 2, dtype=dtype)}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"1 of another sort: weight \w+ instead of float32"):
        load_strictly(nn.Linear(2, 1), read_tensors(tmp_path / "net.pth")[0], "net.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(tmp_path, dtype):
    torch.save({"weight": torch.ones(1, 2, dtype=dtype)}, tmp_path / "net.pth")
    assert read_tensors(tmp_path / "net.pth")[0]["weight"].dtype is torch.float32


def test_a_small_file_of_a_huge_tensor_takes_no_memory(tmp_path):
    torch.save({"weight": torch.ones(1).expand(60_000, 60_000)}, tmp_path / "net.pth")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="but its tensors would take 14400000000"):
        read_tensors(tmp_path / "net.pth")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_file_whose_records_are_deflated_is_refused_unread(tmp_path):
    with (
        zipfile.ZipFile(io.BytesIO(saved({"weight": torch.zeros(1 << 20)}))) as made,
        zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in made.namelist():
            packed.writestr(name, made.read(name))
    with pytest.raises(ModelError, match="its records are compressed"):
        read_tensors(tmp_path / "net.pth")


def test_records_that_claim_more_than_the_file_has_are_refused(tmp_path):
    content = bytearray(saved(NET))
    first = content.index(b"PK\x01\x02")  # of the table of contents
    content[first + 24 : first + 28] = content[first + 20 : first + 24] = b"\xf0\xff\xff\x7f"
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"more memory than the file has bytes|is damaged"):
        read_tensors(tmp_path / "net.pth")


def test_a_version_of_torch_that_is_no_number_is_no_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.x")
    torch.save(NET, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"torch 2.x cannot read .* safely"):
        read_tensors(tmp_path / "net.pth")
