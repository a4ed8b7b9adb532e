"""A new family of networks is one file and one line."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

import pytest
import torch
import yaml
from safetensors.torch import save_file

from mono_depth.commands.main import main
from mono_depth.engines.protocol import network_of
from mono_depth.engines.torch_engine import in_lower_precision
from mono_depth.errors import ModelError
from mono_depth.models.check import check_golden
from mono_depth.models.checks import pseudo_random
from mono_depth.models.family_table import FAMILIES, family_of
from mono_depth.models.loading import load_model
from mono_depth.models.random_model import random_model
from mono_depth.models.store.registry import read_registry

CPU = torch.device("cpu")
RGB = torch.from_numpy(pseudo_random.image(48, 64))

FILE = '''
    """Grey: a toy of one layer."""

    import torch
    from torch import nn

    from mono_depth.models.checks import pseudo_random
    from mono_depth.models.checks.golden.case import GoldenCase, built
    from mono_depth.models.family import Family, from_file
    from mono_depth.models.network_model import MapModel
    from mono_depth.models.store.weights import load_strictly, read_tensors

    class GreyNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Conv2d(3, 1, 1)

        def forward(self, image):
            return self.last(image)[:, 0]

    class Grey(MapModel[GreyNet]):
        @classmethod
        def load(cls, entry, weights, device, *, sha256=""):
            net = GreyNet()
            tensors, found_sha256 = read_tensors(weights, sha256)
            load_strictly(net, tensors, str(weights))
            return cls(net, entry, device, found_sha256, step_px=1)

    def make_random(request):
        net = pseudo_random.filled(GreyNet, positive=["last.bias"])
        return Grey(net, request.entry, request.device, pseudo_random.SHA256, step_px=1)

    def golden_cases(entry):
        """Numbers that are easily worked out: R + G + B of two pixels."""
        weights = {"last.weight": torch.ones(1, 3, 1, 1), "last.bias": torch.zeros(1)}
        net = built(GreyNet, weights)
        yield GoldenCase(
            name="two pixels",
            expected={"min": 6.0, "max": 9.0, "mean": 7.5, "samples": [6.0, 9.0]},
            tolerance=1e-6,
            compute=lambda: net(torch.arange(6.0).reshape(1, 3, 1, 2)),
        )

    FAMILY = Family(
        load=from_file(Grey.load),
        make_random=make_random,
        golden_cases=golden_cases,
        fp32_layers="last",
    )
'''


@pytest.fixture
def grey_registry(tmp_path, monkeypatch):
    """Registry with `grey` of a new family, whose file lies beside it."""
    (tmp_path / "grey_family.py").write_text(dedent(FILE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(FAMILIES, "grey", "grey_family")  # the one line
    weights = {"last.weight": torch.ones(1, 3, 1, 1), "last.bias": torch.ones(1)}
    save_file(weights, tmp_path / "grey.safetensors")
    entry = {
        "family": "grey",
        "kind": "metric",
        "description": "made by a test",
        "licence": "CC0-1.0",
        "commercial": True,
        "weights": {"file": "grey.safetensors"},
        "input": {"width": 64, "height": 48},
    }
    registry = tmp_path / "registry.yaml"
    registry.write_text(yaml.safe_dump({"models": {"grey": entry}}))
    yield registry
    sys.modules.pop("grey_family", None)


def test_the_table_of_families_is_read_without_torch():
    look = "import sys, mono_depth.models.family_table; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert (
        subprocess.run([sys.executable, "-c", look], env=environment, check=False).returncode == 0
    )


def test_a_new_family_is_loaded(grey_registry):
    model = load_model("grey", registry=grey_registry)

    found = model.infer(RGB, None).values
    torch.testing.assert_close(found, RGB.float().sum(2) / 255 + 1)
    several = model.infer_batch(torch.stack([RGB, RGB.flip(0)]), [None, None])
    torch.testing.assert_close(several[1].values, found.flip(0))


def test_a_new_family_is_held_to_its_numbers(grey_registry, capsys):
    (report,) = check_golden(read_registry(grey_registry)["grey"])
    assert (report.name, report.is_ok) == ("two pixels", True)

    registry = ["--registry", str(grey_registry)]
    assert main(["models", "check", "grey", "--random", *registry]) == 0
    assert capsys.readouterr().out.endswith("two pixels\ngrey: ok\n")


def test_a_new_family_is_made_with_weights_of_the_rule(grey_registry):
    model = random_model(read_registry(grey_registry)["grey"], CPU)

    assert model.weights_sha256 == pseudo_random.SHA256
    weights = pseudo_random.fill({"last.weight": torch.Size([1, 3, 1, 1])})["last.weight"]
    assert torch.equal(model.net.module.last.weight, weights)


def test_the_last_layer_of_a_new_family_stays_in_fp32(grey_registry):
    model = load_model("grey", registry=grey_registry)
    entry, image = read_registry(grey_registry)["grey"], torch.zeros(1, 3, 48, 64)

    network = network_of(model.net, entry, model.weights_sha256, (image,))
    short = in_lower_precision(network.module, network.fp32_layers, torch.bfloat16, CPU)
    assert {parameter.dtype for parameter in short.parameters()} == {torch.float32}


def test_an_entry_of_a_family_that_is_not_in_the_table_is_refused(grey_registry, monkeypatch):
    monkeypatch.delitem(FAMILIES, "grey")
    with pytest.raises(ModelError, match="grey: family 'grey' is not one of nano, onnx, depth_an"):
        family_of(read_registry(grey_registry)["grey"])
