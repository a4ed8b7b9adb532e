"""Nested configuration by dotted names."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

import pytest

from mono_depth.config import (
    CloudConfig,
    Param,
    PipelineConfig,
    ScaleConfig,
    check_limits,
    flatten,
    params,
    updated,
)
from mono_depth.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Wheel:
    radius_m: Annotated[float, Param("Of the tyre [m].", 0.1, 2.0, live=True)] = 0.5

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class Cart:
    paint: Annotated[str, Param("Outside.", choices=("red", "blue"))] = "red"
    front: Wheel = field(default_factory=Wheel)
    rear: Wheel = field(default_factory=lambda: Wheel(radius_m=1.0))

    def __post_init__(self) -> None:
        check_limits(self)


def test_names_follow_the_nesting():
    assert flatten(Cart()) == {"paint": "red", "front.radius_m": 0.5, "rear.radius_m": 1.0}
    assert params(Cart())["rear.radius_m"] == Param("Of the tyre [m].", 0.1, 2.0, live=True)
    assert params(Cart()).keys() == flatten(Cart()).keys()


def test_a_dotted_name_changes_one_value_and_leaves_the_original():
    cart = Cart()

    changed = updated(cart, {"rear.radius_m": 1.5})

    assert flatten(changed) == {"paint": "red", "front.radius_m": 0.5, "rear.radius_m": 1.5}
    assert cart == Cart()


def test_every_value_of_the_pipeline_survives_the_round_trip():
    config = PipelineConfig(scale=ScaleConfig(factor=2.0), max_depth_m=20.0)

    assert updated(PipelineConfig(), flatten(config)) == config


@pytest.mark.parametrize("name", ["rear", "rear.radius", "radius_m", "rear.radius_m.x", ""])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ConfigError, match=f"unknown parameter {name}"):
        updated(Cart(), {name: 1.0})


@pytest.mark.parametrize("value", [0.0999, 2.001, math.nan, math.inf, -math.inf])
def test_a_value_outside_its_limits_is_refused(value):
    with pytest.raises(ConfigError, match=r"radius_m = .* is outside \[0.1, 2.0\]"):
        updated(Cart(), {"front.radius_m": value})


def test_limits_themselves_are_allowed():
    assert updated(Cart(), {"front.radius_m": 0.1, "rear.radius_m": 2.0}).rear.radius_m == 2.0


def test_an_unknown_choice_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="paint = 'green' is not one of red, blue"):
        Cart(paint="green")


@pytest.mark.parametrize("config", [PipelineConfig, CloudConfig])
def test_an_empty_range_of_depth_is_refused(config):
    with pytest.raises(ConfigError, match=r"min_depth_m = 5.0 must be below .*max_depth_m = 5.0"):
        config(min_depth_m=5.0, max_depth_m=5.0)


def test_values_that_contradict_one_by_one_can_change_together():
    both = {"min_depth_m": 60.0, "max_depth_m": 70.0}

    with pytest.raises(ConfigError, match="must be below"):
        updated(PipelineConfig(), {"min_depth_m": 60.0})
    assert updated(PipelineConfig(), both).max_depth_m == 70.0
