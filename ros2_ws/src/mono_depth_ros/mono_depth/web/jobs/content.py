"""What a file is, by its first bytes. The name that a client gave decides nothing.

A decoder of videos reads lists of other files, too (HLS, concat): what is let through here is a
container that holds its frames itself.
"""

from __future__ import annotations

from mono_depth.web.api_error import WRONG_TYPE, ApiError

HEAD_BYTES = 512
ZIP = ".zip"
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_TS_PACKET, _TS_SYNC = 188, 0x47
_STARTS = (  # what a file begins with, and the ending that it gets
    (b"PK\x03\x04", ZIP),
    (b"\x89MCAP0\r\n", ".mcap"),
    (b"SQLite format 3\0", ".db3"),
    (b"#ROSBAG V2.0", ".bag"),
    (b"\x1a\x45\xdf\xa3", ".mkv"),
    (b"\x00\x00\x01\xba", ".mpg"),
    (b"\x00\x00\x01\xb3", ".mpg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ".wmv"),
)
BAG_ENDINGS = (".mcap", ".db3", ".bag")
_TAKEN = (
    "send a video (MP4, MOV, MKV, WebM, AVI, MPEG, WMV), a bag (MCAP, SQLite, ROS 1), or a folder "
    "as ZIP; single images go to /v1/depth"
)


def ending_of(head: bytes) -> str:
    """Return the ending of a file's name, of its first `HEAD_BYTES`.

    Raises:
        ApiError: it is nothing that a job takes.
    """
    found = known_ending(head)
    if not found:
        raise ApiError(WRONG_TYPE, f"neither a video, a bag nor a ZIP; {_TAKEN}")
    return found


def known_ending(head: bytes) -> str:
    """Return the ending of a file's name, "" = it is no video, bag or ZIP."""
    for start, ending in _STARTS:
        if head.startswith(start):
            return ending
    if head[4:8] in _MP4_BOXES and head[8:12] not in (b"heic", b"heix", b"avif", b"mif1"):
        return ".mp4"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return ".avi"
    if len(head) > 2 * _TS_PACKET and all(head[i * _TS_PACKET] == _TS_SYNC for i in range(3)):
        return ".ts"
    return ""
