"""Which files and folders are bags."""

from __future__ import annotations

from pathlib import Path

_COMPRESSED_TYPES = (".mcap.zstd", ".db3.zstd")
BAG_TYPES = (".mcap", ".db3", ".bag", *_COMPRESSED_TYPES)


def is_bag(path: Path) -> bool:
    """Tell whether a path is that of a file of a bag, or of a folder with its metadata.yaml."""
    return path.name.endswith(BAG_TYPES) or has_metadata(path)


def has_metadata(folder: Path) -> bool:
    """Tell whether a folder has the metadata.yaml of rosbag2."""
    return (folder / "metadata.yaml").is_file()


def bag_files(folder: Path) -> list[Path]:
    """Return the files of a bag that lie in a folder, by name.

    Where a file is there compressed and not, the compressed one is left out.
    """
    files = sorted(file for file in folder.glob("*") if file.name.endswith(BAG_TYPES))
    return [file for file in files if file.suffix != ".zstd" or file.with_suffix("") not in files]
