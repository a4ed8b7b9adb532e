"""Pages of text, lines and JPEGs as PDF, with the fonts that every reader has.

Source: ISO 32000-1: structure of a file 7.5, content streams 8 and 9, standard fonts 9.6.2.2.
"""

from __future__ import annotations

from mono_depth.report.drawing import Area, Color, Drawing, Label, Line

WIDTH_PT, HEIGHT_PT = 595.0, 842.0  # A4
_FONTS = ("Helvetica", "Helvetica-Bold")
_MEAN_WIDTH = 0.5  # of a letter of Helvetica, of its size; for what is centred


class PdfPage:
    """One page, drawn from its top left; lengths in points, 1/72 inch."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.images: list[tuple[bytes, int, int]] = []

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size: float,
        *,
        is_bold: bool = False,
        is_upright: bool = False,
        color: Color = (17, 24, 39),
    ) -> None:
        """Write a line of text; `at` is the begin of its base line."""
        x, y = at[0], HEIGHT_PT - at[1]
        turn = "0 1 -1 0" if is_upright else "1 0 0 1"
        self._parts.append(
            f"BT {_rgb(color)} rg /F{int(is_bold)} {size:.2f} Tf {turn} {x:.2f} {y:.2f} Tm "
            f"({_escaped(text)}) Tj ET"
        )

    def line(self, line: Line) -> None:
        """Draw a line."""
        (ax, ay), (bx, by) = line.ends
        dashes = "[4 4] 0 d" if line.is_dashed else "[] 0 d"
        self._parts.append(
            f"{_rgb(line.color)} RG {line.width:.2f} w {dashes} {ax:.2f} {HEIGHT_PT - ay:.2f} m "
            f"{bx:.2f} {HEIGHT_PT - by:.2f} l S"
        )

    def area(self, area: Area) -> None:
        """Fill a polygon."""
        (x, y), *others = ((x, HEIGHT_PT - y) for x, y in area.corners)
        way = " ".join(f"{x:.2f} {y:.2f} l" for x, y in others)
        self._parts.append(f"{_rgb(area.color)} rg {x:.2f} {y:.2f} m {way} h f")

    def image(
        self, jpeg: bytes, size: tuple[int, int], at: tuple[float, float], width: float
    ) -> float:
        """Place a JPEG of RGB and return its height.

        Args:
            jpeg: the file.
            size: width and height in pixels.
            at: its top left corner.
            width: on the page.
        """
        height = width * size[1] / size[0]
        self._parts.append(
            f"q {width:.2f} 0 0 {height:.2f} {at[0]:.2f} {HEIGHT_PT - at[1] - height:.2f} cm "
            f"/I{len(self.images)} Do Q"
        )
        self.images.append((jpeg, *size))
        return height

    def drawing(self, drawing: Drawing, at: tuple[float, float], width: float) -> None:
        """Place a drawing by its top left corner."""
        factor = width / drawing.side

        def placed(point: tuple[float, float]) -> tuple[float, float]:
            return at[0] + factor * point[0], at[1] + factor * point[1]

        for shape in drawing.shapes:
            if isinstance(shape, Line):
                ends = placed(shape.ends[0]), placed(shape.ends[1])
                self.line(
                    Line(
                        ends=ends,
                        width=factor * shape.width,
                        color=shape.color,
                        is_dashed=shape.is_dashed,
                    )
                )
            elif isinstance(shape, Area):
                corners = tuple(placed(corner) for corner in shape.corners)
                self.area(Area(corners=corners, color=shape.color))
            else:
                self._label(shape, placed(shape.at), factor)

    def content(self) -> bytes:
        """Return what draws the page."""
        return "\n".join(self._parts).encode("cp1252", "replace")

    def _label(self, label: Label, at: tuple[float, float], factor: float) -> None:
        size = factor * label.size
        half = 0.5 * _MEAN_WIDTH * size * len(label.text) if label.is_centred else 0.0
        x, y = (at[0], at[1] + half) if label.is_upright else (at[0] - half, at[1])
        self.text((x, y), label.text, size, is_upright=label.is_upright)


def pdf_of(pages: list[PdfPage], title: str) -> bytes:
    """Return the file."""
    objects: list[bytes] = []

    def added(content: bytes) -> int:
        objects.append(content)
        return len(objects)

    catalog, tree = added(b""), added(b"")
    fonts = [
        added(
            b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>"
            % name.encode()
        )
        for name in _FONTS
    ]
    of_fonts = " ".join(f"/F{index} {number} 0 R" for index, number in enumerate(fonts))
    numbers = []
    for page in pages:
        images = [added(_jpeg(*image)) for image in page.images]
        of_images = " ".join(f"/I{index} {number} 0 R" for index, number in enumerate(images))
        stream = added(_stream("", page.content()))
        numbers.append(
            added(
                f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 {WIDTH_PT:g} {HEIGHT_PT:g}] "
                f"/Contents {stream} 0 R /Resources << /Font << {of_fonts} >> "
                f"/XObject << {of_images} >> >> >>".encode()
            )
        )
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects[catalog - 1] = f"<< /Type /Catalog /Pages {tree} 0 R >>".encode()
    objects[tree - 1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode()
    about = added(f"<< /Title ({_escaped(title)}) >>".encode("cp1252", "replace"))
    return _file(objects, catalog, about)


def _file(objects: list[bytes], catalog: int, about: int) -> bytes:
    written, offsets = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, content in enumerate(objects, 1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    written += b"trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        catalog,
        about,
        start,
    )
    return bytes(written)


def _stream(more: str, content: bytes) -> bytes:
    head = f"<< /Length {len(content)} {more} >>\nstream\n".encode()
    return head + content + b"\nendstream"


def _jpeg(data: bytes, width: int, height: int) -> bytes:
    return _stream(
        f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceRGB "
        "/BitsPerComponent 8 /Filter /DCTDecode",
        data,
    )


def _rgb(color: Color) -> str:
    return " ".join(f"{value / 255.0:.3f}" for value in color)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
