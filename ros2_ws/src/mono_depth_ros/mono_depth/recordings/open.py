"""Open a recording, whatever it is stored as."""

from __future__ import annotations

from pathlib import Path

from mono_depth.errors import ConfigError
from mono_depth.recordings.bag_paths import bag_files, is_bag
from mono_depth.recordings.formats import FORMATS
from mono_depth.recordings.sequence import FrameSequence, GivenCamera


def open_sequence(
    source: str,
    kind: str = "auto",
    *,
    image_topic: str = "",
    depth_topic: str = "",
    given: GivenCamera | None = None,
) -> FrameSequence:
    """Open a recording.

    Args:
        source: a folder or file, or "synthetic:SCENE/TRAJECTORY/SEED", such as
            "synthetic:room/robot/1", with an optional size: "synthetic:room/robot/1/320x240".
        kind: one of `FORMATS`; auto looks at `source`.
        image_topic: of a bag, "" = the first that fits.
        depth_topic: of a bag, "" = the first that fits.
        given: the camera and units of a folder that does not tell them.

    Raises:
        ConfigError: there is no such recording, or it is not complete.
    """
    kind = recognised(source) if kind == "auto" else kind
    if kind == "synthetic":
        from mono_depth.recordings.synthetic_sequence import open_synthetic

        return open_synthetic(source)
    path = Path(source)
    if not path.exists():
        raise ConfigError(
            f"{source} does not exist; expected a recording or synthetic:SCENE/TRAJECTORY/SEED"
        )
    if kind == "tum":
        from mono_depth.recordings.tum import open_tum

        return open_tum(path, given)
    if kind == "bag":
        from mono_depth.recordings.bag import open_bag

        return open_bag(path, image_topic, depth_topic)
    if kind == "folder":
        from mono_depth.recordings.rgbd_folder import open_folder

        return open_folder(path, given)
    raise ConfigError(f"format {kind!r} is not one of {', '.join(FORMATS)}")


def recognised(source: str) -> str:
    """Return the format that `source` looks like."""
    path = Path(source)
    if source.startswith("synthetic:"):
        return "synthetic"
    if is_bag(path):
        return "bag"
    if (path / "groundtruth.txt").is_file():
        return "tum"
    has_images = any((path / name).is_dir() for name in ("rgb", "color"))
    return "bag" if bag_files(path) and not has_images else "folder"
