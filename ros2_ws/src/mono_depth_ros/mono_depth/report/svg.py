"""A drawing as SVG."""

from __future__ import annotations

import html

from mono_depth.report.drawing import Area, Color, Drawing, Label, Line


def as_svg(drawing: Drawing) -> str:
    """Return an SVG that grows with its place in a page."""
    body = "\n".join(_shape(shape) for shape in drawing.shapes)
    side = f"{drawing.side:g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" '
        f'font-family="sans-serif" role="img" aria-label="{html.escape(drawing.title)}">\n'
        f"{body}\n</svg>\n"
    )


def _shape(shape: Line | Area | Label) -> str:
    if isinstance(shape, Line):
        (ax, ay), (bx, by) = shape.ends
        dashes = ' stroke-dasharray="6 6"' if shape.is_dashed else ""
        return (
            f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{bx:.1f}" y2="{by:.1f}" '
            f'stroke="{_color(shape.color)}" stroke-width="{shape.width:g}"{dashes}/>'
        )
    if isinstance(shape, Area):
        way = " L ".join(f"{x:.1f} {y:.1f}" for x, y in shape.corners)
        return f'<path d="M {way} z" fill="{_color(shape.color)}"/>'
    x, y = shape.at
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if shape.is_upright else ""
    anchor = ' text-anchor="middle"' if shape.is_centred else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{shape.size:g}"{anchor}{turn}>'
        f"{html.escape(shape.text)}</text>"
    )


def _color(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
