"""Where on a page a visible signature goes: at given coordinates, or at the placeholder text. Provider-neutral."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyhanko.pdf_utils.reader import PdfFileReader

_SIGNATURE_WIDTH, _SIGNATURE_HEIGHT = 170, 42
_TEXT_AT = rb"BT\s+([\d.]+)\s+([\d.]+)\s+Td\s+[^()]{0,40}\(%s\)\s*Tj"


@dataclass(frozen=True)
class Placement:
    """Where the signature goes; all empty means an invisible signature.

    `box_percent` is x, y, width, height as percentages of the first page, measured from its upper left corner.
    `box_points` is page (from 1, or backwards from -1), left, top, width, height in points, from the same corner.
    """

    field_name: str | None = None
    placeholder: str | None = None
    box_percent: tuple[float, float, float, float] | None = None
    box_points: tuple[int, float, float, float, float] | None = None


def signature_box(reader: PdfFileReader, placement: Placement) -> tuple[int, tuple[int, int, int, int]]:
    pages = int(reader.root["/Pages"]["/Count"])
    if placement.box_percent is not None:
        width, height = _page_size(reader, 0)
        x, y, w, h = (value / 100 for value in placement.box_percent)
        left, top = int(x * width), int((1 - y) * height)
        return 0, (left, top - int(h * height), left + int(w * width), top)
    if placement.box_points is not None:
        number, x, y, w, h = placement.box_points
        page = number - 1 if number > 0 else pages + number
        left, top = int(x), int(_page_size(reader, page)[1] - y)
        return page, (left, top - int(h), left + int(w), top)
    for page in range(pages):
        if (at := _find_text(reader, page, placement.placeholder or "")) is not None:
            return page, (at[0], at[1] - 4, at[0] + _SIGNATURE_WIDTH, at[1] - 4 + _SIGNATURE_HEIGHT)
    # A placeholder that this simple search cannot find (subset fonts) still gets a visible box on the last page.
    return pages - 1, (50, 30, 50 + _SIGNATURE_WIDTH, 30 + _SIGNATURE_HEIGHT)


def page_with_text(reader: PdfFileReader, text: str) -> int | None:
    """The first page (from 1) that carries the placeholder, or None where this simple search finds none."""
    pages = range(int(reader.root["/Pages"]["/Count"]))
    return next((page + 1 for page in pages if _find_text(reader, page, text) is not None), None)


def page_reference(reader: Any, number: int) -> Any:
    """A reference to the page. The reader is untyped here because pyHanko leaves this method without types."""
    return reader.find_page_for_modification(number)[0]


def _page_size(reader: PdfFileReader, page: int) -> tuple[float, float]:
    node = page_reference(reader, page).get_object()
    while "/MediaBox" not in node:
        node = node["/Parent"]
    left, bottom, right, top = (float(value) for value in node["/MediaBox"])
    return right - left, top - bottom


def _find_text(reader: PdfFileReader, page: int, text: str) -> tuple[int, int] | None:
    """Where a text written in one go with a standard font begins, as fpdf2 and many report writers do it."""
    contents = page_reference(reader, page).get_object().get("/Contents")
    streams = contents if isinstance(contents, list) else [contents]
    pattern = re.compile(_TEXT_AT % re.escape(text.encode("latin-1", "replace")))
    for stream in streams:
        match = pattern.search(_data(stream))
        if match:
            return int(float(match[1])), int(float(match[2]))
    return None


def _data(stream: Any) -> bytes:
    try:
        return bytes(stream.get_object().data)
    except (AttributeError, zlib.error, NotImplementedError):
        return b""
