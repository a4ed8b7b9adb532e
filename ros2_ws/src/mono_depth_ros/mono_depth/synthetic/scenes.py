"""Scenes by the name of their kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mono_depth.errors import ConfigError
from mono_depth.synthetic import indoor, outdoor
from mono_depth.synthetic.scene import Scene


def make_scene(kind: str, rng: np.random.Generator, map_size: int = 768) -> Scene:
    """Return a random scene.

    Args:
        kind: one of SCENE_KINDS.
        rng: decides everything.
        map_size: pixels of shadow and contact maps; less is faster and coarser.

    Raises:
        ConfigError: the kind is not known.
    """
    makers = _makers()
    if kind not in makers:
        raise ConfigError(f"scene '{kind}' is not one of {', '.join(makers)}")
    return makers[kind](rng, map_size)


def _makers() -> dict[str, Callable[[np.random.Generator, int], Scene]]:
    return {
        "room": indoor.make_room,
        "office": indoor.make_office,
        "corridor": indoor.make_corridor,
        "warehouse": indoor.make_warehouse,
        "street": outdoor.make_street,
        "yard": outdoor.make_yard,
    }
