"""What a client asks for beside the image, read from text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mono_depth.display.colormap import COLORMAPS
from mono_depth.web.api_error import BAD_PARAMETER, ApiError

Pixel = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class DepthRequest:
    """The levers of one request. Zero and "" mean: not given."""

    model: str = ""  # a name of /v1/models
    input_size: int = 0  # short side of the network's input [pixels]
    fov_deg: float = 0.0  # across the width of the image
    focal_px: float = 0.0  # in pixels of the image
    camera_height_m: float = 0.0  # over the ground that the image shows
    known_length_m: float = 0.0  # between the two points that follow
    known_from: Pixel | None = None  # column, row
    known_to: Pixel | None = None
    refine: str = "none"  # guided: edges of depth follow those of the image
    max_jump: float = 0.1  # of clouds: points on edges of more than this share are left out
    colormap: str = "inferno"
    equalise: bool = False  # colours in equal shares of the image, for show alone

    def __post_init__(self) -> None:
        if self.fov_deg and self.focal_px:
            raise _bad("fov_deg", "give either fov_deg or focal_px, not both")
        points = (self.known_from, self.known_to)
        if bool(self.known_length_m) != all(point is not None for point in points) or (
            points.count(None) == 1
        ):
            raise _bad("known_length_m", "known_length_m, known_from and known_to belong together")


@dataclass(frozen=True, kw_only=True)
class Lever:
    """How a lever is read, and what the page and the OpenAPI document say about it."""

    read: Callable[[str], Any]
    schema: dict[str, Any]
    description: str


def read_request(items: Iterable[tuple[str, str]]) -> DepthRequest:
    """Read levers from names and texts, of a query or a form.

    Raises:
        ApiError: a name is unknown or given twice, or a value has no sense.
    """
    values: dict[str, Any] = {}
    for name, text in items:
        if name not in LEVERS:
            raise _bad(name, f"unknown; there are {', '.join(LEVERS)}")
        if name in values:
            raise _bad(name, "given twice")
        if text.strip():  # the page sends what was left empty, too
            values[name] = read_lever(name, text.strip())
    return DepthRequest(**values)


def read_lever(name: str, text: str) -> Any:  # noqa: ANN401 - as various as the levers
    """Return the value of one lever.

    Raises:
        ApiError: it has no sense.
    """
    try:
        return LEVERS[name].read(text)
    except ValueError as error:
        raise _bad(name, str(error)) from None


def read_pixel(text: str) -> Pixel:
    """Read "COLUMN,ROW".

    Raises:
        ValueError: it is something else.
    """
    try:
        column, row = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not COLUMN,ROW") from None
    if not (math.isfinite(column) and math.isfinite(row)):
        raise ValueError(f"{text[:40]!r} is not COLUMN,ROW")
    return column, row


def _bad(name: str, reason: str) -> ApiError:
    return ApiError(BAD_PARAMETER, f"{name[:40]}: {reason}")


def _number(low: float, high: float, *, whole: bool = False) -> Callable[[str], Any]:
    def read(text: str) -> float | int:
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            kind = "a whole number" if whole else "a number"
            raise ValueError(f"{text[:40]!r} is not {kind}") from None
        if not low <= value <= high:
            raise ValueError(f"{value:g} is outside {low:g} to {high:g}")
        return value

    return read


def _choice(names: Iterable[str]) -> Callable[[str], str]:
    known = tuple(names)

    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"{text[:40]!r} is not one of {', '.join(known)}")
        return text

    return read


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[_choice(("true", "false"))(text)]


def number_lever(low: float, high: float, description: str, *, whole: bool = False) -> Lever:
    """Return a lever that is a number from `low` to `high`."""
    kind = "integer" if whole else "number"
    return Lever(
        read=_number(low, high, whole=whole),
        schema={"type": kind, "minimum": low, "maximum": high},
        description=description,
    )


def choice_lever(names: Iterable[str], description: str) -> Lever:
    """Return a lever that is one of some names."""
    known = tuple(names)
    return Lever(
        read=_choice(known), schema={"type": "string", "enum": list(known)}, description=description
    )


def flag_lever(description: str) -> Lever:
    """Return a lever that is true or false."""
    return Lever(read=_flag, schema={"type": "boolean"}, description=description)


def _pixel_lever(description: str) -> Lever:
    return Lever(
        read=read_pixel, schema={"type": "string", "example": "320,240"}, description=description
    )


LEVERS: Mapping[str, Lever] = {
    "model": Lever(
        read=str, schema={"type": "string"}, description="A name of /v1/models that is installed."
    ),
    "input_size": number_lever(
        32, 2048, "Short side of the network's input [pixels]; smaller is faster.", whole=True
    ),
    "fov_deg": number_lever(5.0, 170.0, "Field of view across the width of the image [degrees]."),
    "focal_px": number_lever(10.0, 1e5, "Focal length in pixels of the image."),
    "camera_height_m": number_lever(
        0.02, 100.0, "Height of the camera over the ground in the image [m]."
    ),
    "known_length_m": number_lever(
        0.001, 1000.0, "True distance of the points known_from and known_to [m]."
    ),
    "known_from": _pixel_lever("Column and row of one end of the known length."),
    "known_to": _pixel_lever("Column and row of its other end."),
    "refine": choice_lever(("none", "guided"), "guided: edges of depth follow the image's."),
    "max_jump": number_lever(
        0.0, 10.0, "Clouds: points that are farther than a neighbour by more than this share."
    ),
    "colormap": choice_lever(COLORMAPS, "Colours of color.png."),
    "equalise": flag_lever(
        "Spread the colours of color.png over equal shares of the image; depth stays."
    ),
}
