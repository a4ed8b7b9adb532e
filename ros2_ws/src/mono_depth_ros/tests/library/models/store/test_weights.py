import hashlib
import os
import pickle
import random

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mono_depth.errors import ModelError
from mono_depth.models.store.weights import load_strictly, read_tensors
from mono_depth.models.store.weights_file import open_weights


def tensors() -> dict[str, torch.Tensor]:
    return {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])}


@pytest.fixture(params=["safetensors", "pth", "pt"])
def weights(request, tmp_path):
    path = tmp_path / f"net.{request.param}"
    if request.param == "safetensors":
        save_file(tensors(), path)
    else:
        torch.save(tensors(), path)
    return path


def test_tensors_and_hash_come_back_from_each_format(weights):
    read, sha256 = read_tensors(weights)

    assert {name: tensor.tolist() for name, tensor in read.items()} == {
        "weight": [[1.0, 2.0]],
        "bias": [3.0],
    }
    assert sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_half_precision_becomes_float32_and_counters_stay_integers(tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({"w": torch.tensor([0.5]).half(), "n": torch.tensor([7])}, path)

    read, _ = read_tensors(path)

    assert (read["w"].dtype, read["n"].dtype) == (torch.float32, torch.int64)


def test_tensors_outlive_their_file(weights):
    read, _ = read_tensors(weights)

    weights.write_bytes(b"")

    assert read["weight"].tolist() == [[1.0, 2.0]]


def test_the_expected_hash_is_accepted_and_another_one_names_both(weights):
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    read_tensors(weights, sha256)

    with pytest.raises(ModelError, match=f"sha256 {sha256}, but the registry expects {'0' * 64}"):
        read_tensors(weights, "0" * 64)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / "bomb.pth"
    torch.save({"weight": Bomb()}, path)

    with pytest.raises(ModelError, match="not a file of plain tensors"):
        read_tensors(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "'epoch' is a int, expected a tensor"),
        ([torch.zeros(1)], "holds a list, expected tensors by name"),
        ({}, "holds a dict, expected tensors by name"),
        ({"w": torch.tensor([float("nan")])}, "tensor w holds NaN or infinity"),
    ],
)
def test_anything_but_finite_tensors_by_name_is_refused(tmp_path, content, message):
    path = tmp_path / "net.pth"
    torch.save(content, path)

    with pytest.raises(ModelError, match=message):
        read_tensors(path)


def test_one_part_of_a_file_can_be_read_alone(tmp_path):
    path = tmp_path / "parts.pth"
    torch.save({"net": {"weight": torch.ones(2)}, "epoch": 3}, path)

    tensors, _ = read_tensors(path, part="net")

    assert tensors["weight"].tolist() == [1.0, 1.0]
    with pytest.raises(ModelError, match="holds no 'depth_model'"):
        read_tensors(path, part="depth_model")


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
@pytest.mark.parametrize("content", [b"<html>404</html>", b"\xff" * 4096, pickle.dumps(3)])
def test_a_damaged_file_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"net\.(safetensors|pth)"):
        read_tensors(path)


def test_a_truncated_file_is_refused(weights):
    weights.write_bytes(weights.read_bytes()[:-8])

    with pytest.raises(ModelError, match="is not a"):
        read_tensors(weights)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("is_zip", [True, False])
def test_flipped_bytes_anywhere_are_refused_or_read_never_a_crash(tmp_path, is_zip):
    path = tmp_path / "net.pth"
    torch.save(tensors(), path, _use_new_zipfile_serialization=is_zip)
    intact = path.read_bytes()
    generator = random.Random(0)
    refused = 0

    for _ in range(300):
        damaged = bytearray(intact)
        for _ in range(8):
            damaged[generator.randrange(min(600, len(damaged)))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            read_tensors(path)
        except ModelError:
            refused += 1

    assert refused > 200


def test_an_unknown_type_of_file_is_refused(tmp_path):
    path = tmp_path / "net.npz"
    path.write_bytes(b"x")

    with pytest.raises(ModelError, match=r"type \.npz .* expected \.safetensors, \.pth, \.pt"):
        read_tensors(path)


def test_only_regular_files_are_opened(tmp_path):
    fifo = tmp_path / "net.pth"
    os.mkfifo(fifo)

    for path in (tmp_path, fifo):
        with pytest.raises(ModelError, match="not a regular file"), open_weights(path):
            pass


def test_a_missing_an_empty_and_a_huge_file_are_refused(tmp_path):
    empty, huge = tmp_path / "empty.pth", tmp_path / "huge.pth"
    empty.touch()
    with huge.open("wb") as file:
        file.truncate(9 << 30)  # sparse

    for path, message in (
        (tmp_path / "none.pth", "No such file"),
        (empty, "have 0 bytes, expected 1 to"),
        (huge, "have 9663676416 bytes, expected 1 to 8589934592"),
    ):
        with pytest.raises(ModelError, match=message):
            read_tensors(path)


def test_a_file_that_changes_while_it_is_read_is_refused(weights):
    with pytest.raises(ModelError, match="changed while they were read"), open_weights(weights):
        weights.write_bytes(b"another")


def test_a_file_that_everybody_may_change_is_pointed_out(weights, caplog):
    weights.chmod(0o666)

    read_tensors(weights)

    assert "every user of this machine can change" in caplog.text


def test_fitting_tensors_replace_the_parameters_even_on_meta():
    with torch.device("meta"):
        net = nn.Linear(2, 1)

    load_strictly(net, tensors(), "file")

    assert net(torch.tensor([10.0, 100.0])).tolist() == [213.0]


def test_missing_left_over_and_misshaped_tensors_are_all_named():
    wrong = {"weight": torch.zeros(2, 1), "beta": torch.zeros(1)}

    with pytest.raises(ModelError) as caught:
        load_strictly(nn.Linear(2, 1), wrong, "net.pth")

    assert str(caught.value) == (
        "net.pth does not fit the network: 1 missing: bias; 1 unexpected: beta; "
        "1 misshaped: weight (2, 1) instead of (1, 2)"
    )


def test_a_long_list_of_names_is_cut_but_counted():
    many = tensors() | {f"extra{index}": torch.zeros(1) for index in range(9)}

    with pytest.raises(ModelError, match=r"9 unexpected: extra0, .*extra3 and 5 more"):
        load_strictly(nn.Linear(2, 1), many, "net.pth")
