"""Recorded bags as sequences with depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mono_depth.errors import ConfigError
from mono_depth.messages.decode import decode_any_depth
from mono_depth.recordings.bag_camera import BagCamera
from mono_depth.recordings.bag_poses import read_poses_of_bag
from mono_depth.recordings.bag_reader import (
    BagReader,
    Place,
    Topic,
    info_topic,
    without_transport,
)
from mono_depth.recordings.pose_file import tell_coverage
from mono_depth.recordings.sequence import FrameSequence, SequenceFrame

_SAME_MOMENT_NS = 20_000_000


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """An image and its depth."""

    stamp_ns: int  # of the image
    image: Place
    depth: Place


def open_bag(path: Path, image_topic: str = "", depth_topic: str = "") -> FrameSequence:
    """Open the colour images of a bag that also holds depth on the same pixels.

    Images and depth may be raw or compressed, in any encoding that `mono_depth.messages` reads.
    They are rectified by their camera_info, unless `rect` is in the topic of the images. Poses
    come from odometry and /tf_static.

    Args:
        path: what `BagReader` opens.
        image_topic: "" = the first topic of images without depth in its name.
        depth_topic: "" = the first topic of images with depth in its name, raw ones first.

    Raises:
        ConfigError: the package rosbags is missing, or the bag or a topic of it.
    """
    bag = BagReader(path)
    camera = BagCamera(bag, image_topic)
    depth = bag.image_topic(depth_topic, fits=_is_depth, what="depth images", raw_first=True)
    images = camera.images
    if camera.info is None:
        raise ConfigError(f"{path} has no {info_topic(images.name)}, which tells the camera")
    if images == depth:
        raise ConfigError(
            f"{path}: {depth.name} would be the colour images and their depth; "
            "expected one topic for each"
        )
    pairs, frame_id = _pairs(bag, images, depth)
    poses = read_poses_of_bag(bag, frame_id)
    tell_coverage(poses, [pair.stamp_ns for pair in pairs], str(path))

    def load(index: int) -> SequenceFrame:
        pair = pairs[index]
        rgb = camera.decode(bag.message(images, pair.image))
        depth_m = decode_any_depth(bag.message(depth, pair.depth))
        if depth_m.shape != rgb.shape[:2]:
            raise ConfigError(
                f"{images.name} is {rgb.shape[1]}x{rgb.shape[0]}, {depth.name} is "
                f"{depth_m.shape[1]}x{depth_m.shape[0]}: depth must lie on the colour pixels"
            )
        calibration = camera.calibration_of(rgb)
        if calibration is None:
            raise ConfigError(
                f"{path}: {info_topic(images.name)} is that of an uncalibrated camera, K[0] is 0; "
                "calibrate it, or write its camera_info into the bag"
            )
        rectifier = calibration.rectifier
        if rectifier is not None:
            rgb, depth_m = rectifier.apply(rgb), rectifier.apply_to_depth(depth_m)
        return SequenceFrame(
            rgb=rgb,
            depth_m=depth_m,
            intrinsics=calibration.intrinsics,
            stamp_ns=pair.stamp_ns,
            T_odom_camera=poses.at(pair.stamp_ns),
        )

    return FrameSequence(name=path.resolve().stem, indices=range(len(pairs)), load=load)


def _is_depth(topic_name: str) -> bool:
    plain = without_transport(topic_name)
    return "depth" in plain.lower() and not topic_name.endswith("/compressed")


def _pairs(bag: BagReader, color: Topic, depth: Topic) -> tuple[list[_Pair], str]:
    """Return each image with the depth nearest to it, and the frame that the images are in."""
    images, frame_id = [], ""
    for stored in bag.messages(color):
        frame_id = frame_id or stored.content.header.frame_id
        images.append((stored.stamp_ns, stored.place))
    depths = [(stored.stamp_ns, stored.place) for stored in bag.messages(depth)]
    stamps_ns = np.array([stamp_ns for stamp_ns, _ in depths])
    pairs = []
    for stamp_ns, place in images if depths else ():
        nearest = int(np.abs(stamps_ns - stamp_ns).argmin())
        if abs(depths[nearest][0] - stamp_ns) <= _SAME_MOMENT_NS:
            pairs.append(_Pair(stamp_ns=stamp_ns, image=place, depth=depths[nearest][1]))
    if not pairs:
        raise ConfigError(f"{bag.path}: no image of {color.name} has depth of {depth.name} with it")
    return sorted(pairs, key=lambda pair: pair.stamp_ns), frame_id
