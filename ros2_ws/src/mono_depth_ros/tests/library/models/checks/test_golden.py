"""Our networks against numbers of the original code, with the same pseudo-random weights."""

import dataclasses
from importlib import import_module

import pytest
import torch

from mono_depth.errors import ModelError
from mono_depth.models.checks.golden.case import GoldenCase, check_rule, read_golden
from mono_depth.models.family_table import FAMILIES, family_of
from mono_depth.models.store.registry import read_registry

OWN = {"nano", "onnx"}  # made here, or by a user: no original to compare with
# The large networks of these hold half a gigabyte; their own tests run one image through them.
TOO_LARGE = {"midas_v21_large", "leres_resnext101"}


def one_entry_of_each_network():
    """Entries whose comparisons differ: of a family by kind and variant, if variants differ."""
    chosen = {}
    for name, entry in read_registry().items():
        if entry.family in OWN or name in TOO_LARGE:
            continue
        by_variant = entry.family in ("midas", "leres", "midas_dpt", "zoedepth")
        chosen.setdefault((entry.family, entry.kind, by_variant and entry.variant), name)
    return list(chosen.values())


ENTRIES = one_entry_of_each_network()
FIRST_OF_FAMILY = set({read_registry()[name].family: name for name in reversed(ENTRIES)}.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in FIRST_OF_FAMILY else pytest.mark.acceptance)
        for name in ENTRIES
    ],
)
def test_the_network_computes_what_the_original_computes(name):
    entry = read_registry()[name]
    cases = list(family_of(entry).golden_cases(entry))
    deviations = {case.name: case.deviation() for case in cases}

    assert any("float64" in case.name for case in cases)
    assert any("float64" not in case.name for case in cases)
    assert {
        case.name: deviations[case.name]
        for case in cases
        if not deviations[case.name] <= case.tolerance
    } == {}


@pytest.mark.slow
def test_no_family_comes_without_an_original_to_hold_it_to():
    records = {name: import_module(module).FAMILY for name, module in FAMILIES.items()}
    compared = {name for name, family in records.items() if family.golden_cases is not None}
    assert compared == set(FAMILIES) - OWN
    assert {entry.family for entry in read_registry().values()} <= set(FAMILIES)
    assert {read_registry()[name].family for name in ENTRIES} == compared


@pytest.mark.parametrize(
    "name",
    [
        *("depth_anything_v1", "depth_anything_v2", "depth_anything_3", "leres", "lingbot_depth"),
        *("midas_dpt", "midas_v21", "moge2", "zoedepth"),
    ],
)
def test_each_file_names_the_commit_of_the_original(name):
    content = read_golden(name)

    assert content["original"].startswith("github.com/")
    assert "proves the arithmetic, says nothing about accuracy" in content["what"]
    assert any(len(word) == 40 for word in content["original"].replace(",", " ").split())


EXPECTED = {"min": 1.0, "max": 3.0, "mean": 2.0, "samples": [1.0, 3.0]}


def case(output, **change):
    values = torch.tensor(output)
    return GoldenCase(
        name="a case", expected=EXPECTED, tolerance=0.1, compute=lambda: values, **change
    )


def test_deviations_are_parts_of_the_spread_or_of_each_value():
    assert case([1.0, 3.0]).deviation() == 0.0
    assert case([1.2, 3.0]).deviation() == pytest.approx(0.1)
    assert case([1.2, 3.0], is_relative=True).deviation() == pytest.approx(0.2)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_deviates_infinitely(wrong):
    assert case([1.0, wrong]).deviation() == float("inf")


def test_other_weights_than_those_of_the_original_are_not_compared():
    with pytest.raises(
        ModelError, match=r"sha256 e3b0.*, those of the original had 00: this torch"
    ):
        check_rule({}, {"state_dict_sha256": "00"})


@pytest.mark.slow
def test_a_mistake_in_the_network_is_found():
    entry = read_registry()["depth_anything_v1_small"]
    of_v2 = dataclasses.replace(entry, family="depth_anything_v2")
    wrong = [next(family_of(one).golden_cases(one)) for one in (entry, of_v2)]

    mixed = dataclasses.replace(wrong[0], compute=wrong[1].compute)

    assert mixed.deviation() > 1e-3
