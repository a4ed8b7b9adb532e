"""Shapes of a drawing, whatever it is written as; x right, y down."""

from __future__ import annotations

from dataclasses import dataclass

Color = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Line:
    """From one place to another."""

    ends: tuple[tuple[float, float], tuple[float, float]]
    width: float
    color: Color
    is_dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Area:
    """A polygon, filled."""

    corners: tuple[tuple[float, float], ...]
    color: Color


@dataclass(frozen=True, kw_only=True)
class Label:
    """A line of text."""

    at: tuple[float, float]  # of its base line, at its begin or its middle
    text: str
    size: float
    is_centred: bool = False
    is_upright: bool = False  # reads from bottom to top


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Shapes in a square, the first at the back."""

    side: float
    shapes: tuple[Line | Area | Label, ...]
    title: str
