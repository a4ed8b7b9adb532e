"""The families of networks: a line for each, whose file is read when it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mono_depth.errors import ModelError
from mono_depth.models.family import Family

if TYPE_CHECKING:
    from mono_depth.models.store.registry import ModelEntry

# `family` of the registry: the module that says as `FAMILY` what the family is
FAMILIES: dict[str, str] = {
    "nano": "mono_depth.models.nano.family",
    "onnx": "mono_depth.models.families.onnx",
    "depth_anything_v1": "mono_depth.models.families.depth_anything",
    "depth_anything_v2": "mono_depth.models.families.depth_anything",
    "depth_anything_3": "mono_depth.models.families.depth_anything_3",
    "midas": "mono_depth.models.families.midas",
    "leres": "mono_depth.models.families.leres",
    "moge": "mono_depth.models.families.moge",
    "lingbot_depth": "mono_depth.models.families.lingbot",
    "midas_dpt": "mono_depth.models.families.midas_dpt",
    "zoedepth": "mono_depth.models.families.zoedepth",
}


def family_of(entry: ModelEntry) -> Family:
    """Return the family of a registry entry.

    Raises:
        ModelError: there is none of that name.
    """
    if entry.family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ModelError(f"{entry.name}: family {entry.family!r} is not one of {known}")
    family: Family = import_module(FAMILIES[entry.family]).FAMILY
    return family
