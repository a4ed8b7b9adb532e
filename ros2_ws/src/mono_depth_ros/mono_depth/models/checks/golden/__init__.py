"""Whether our networks compute what the original code computes, with no weights at hand.

`models/golden/*.json` keep numbers that the original code of each network gave with the weights
and images of `pseudo_random`. A case computes them again with our network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mono_depth.models.checks.golden import (
    depth_anything,
    depth_anything_3,
    leres,
    lingbot,
    midas,
    midas_dpt,
    moge,
    zoedepth,
)
from mono_depth.models.checks.golden.case import Case
from mono_depth.models.store.registry import ModelEntry

__all__ = ["GOLDEN_FAMILIES", "Case", "cases"]

GOLDEN_FAMILIES: dict[str, Callable[[ModelEntry], Iterator[Case]]] = {
    "depth_anything_v1": depth_anything.cases,
    "depth_anything_v2": depth_anything.cases,
    "depth_anything_3": depth_anything_3.cases,
    "midas": midas.cases,
    "leres": leres.cases,
    "midas_dpt": midas_dpt.cases,
    "zoedepth": zoedepth.cases,
    "moge": moge.cases,
    "lingbot_depth": lingbot.cases,
}


def cases(entry: ModelEntry) -> Iterator[Case]:
    """Yield what the network of `entry` is held to, or a smaller one of the same parts.

    Nothing for a family without an original: networks of this project and of its users.
    """
    make = GOLDEN_FAMILIES.get(entry.family)
    return iter(()) if make is None else make(entry)
