"""Metric scale: where metres come from, how sure they are, and what to do without them."""

from mono_depth.scale.kinds import (
    check_informative,
    check_source,
    to_metres,
    to_relative,
    with_focal_rule,
)
from mono_depth.scale.tracker import ScaleTracker

__all__ = [
    "ScaleTracker",
    "check_informative",
    "check_source",
    "to_metres",
    "to_relative",
    "with_focal_rule",
]
