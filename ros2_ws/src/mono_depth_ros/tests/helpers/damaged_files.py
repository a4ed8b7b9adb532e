"""Bytes that are damaged in any place, the same each time."""

from __future__ import annotations

import random

_NUMBERS = [b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"-1", b"1e999"]
_TEXTS = [b"nan", b"../../x", b"/dev/zero", b"[[[[", b"&a *a", b"\n", b"\x00", b"{}", b"'", b": "]


def damaged(content: bytes, random_: random.Random) -> bytes:
    """Return a file with bytes that are other ones, missing, or too many."""
    found = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 8))):
        at = random_.randrange(len(found) + 1)
        match random_.randrange(5):
            case 0:
                found[at : at + 1] = bytes([random_.randrange(256)])
            case 1:
                piece = random_.choice(_NUMBERS)
                found[at : at + len(piece)] = piece
            case 2:
                found[at:at] = random_.choice(_TEXTS)
            case 3:
                del found[at : at + random_.choice((1, 4, len(found) // 2))]
            case 4:
                found[at:at] = found[: random_.randrange(64)] * random_.choice((1, 50))
    return bytes(found)
