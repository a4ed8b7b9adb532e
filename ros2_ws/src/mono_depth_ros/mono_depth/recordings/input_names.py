"""The names of what a recording may know beside its images."""

from __future__ import annotations

from mono_depth.errors import ConfigError

INPUTS = ("odom", "sparse_points", "sensor_depth", "gravity", "height")
USUAL_INPUTS = ("odom", "sparse_points")  # that the figures of the documents were made with


def read_inputs(text: str) -> tuple[str, ...]:
    """Read "odom,height", "all" or "none" as names of `INPUTS`, in their order.

    Raises:
        ConfigError: a name is unknown.
    """
    names = {name.strip() for name in text.split(",")} - {""}
    if names in ({"all"}, {"none"}):
        return INPUTS if names == {"all"} else ()
    unknown = sorted(names - set(INPUTS))
    if unknown:
        raise ConfigError(
            f"inputs {', '.join(unknown)}: expected some of {', '.join(INPUTS)}, or all, or none"
        )
    return tuple(name for name in INPUTS if name in names)
