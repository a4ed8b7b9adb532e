"""Which frame the camera looks along, and whether the frame of its images can be that one.

REP 103: an optical frame has x right, y down, z forward. Simulators and many drivers stamp their
images with a body frame, x forward and z up; seen through it, the camera looks at the zenith.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mono_depth.camera.gravity import Vector
from mono_depth.messages.frame_names import frame_name
from mono_depth_ros.sensors.camera_poses import FrameTree

BODY = "body"  # value of frames.optical_frame: the frame of the images is that of a body
OPTICAL_IN_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # REP 103

_TOLD_AFTER = 8  # images in a row that seem to look at the zenith
_CLEARED_AFTER = 8  # images in a row that do not
_PROVED_AFTER = 30  # images in a row that do not, after which the frame is above suspicion
_AT_ZENITH = np.cos(np.radians(25.0))
# A body frame that is pitched but not rolled: level to its side, as few cameras look upwards.
_UPWARDS, _LEVEL = np.cos(np.radians(50.0)), np.sin(np.radians(15.0))

_OPTICAL_NAMES = ("optical", "cam", "left", "right", "stereo", "eye", "lens")
_BODY_NAMES = ("link", "footprint")


class ZenithWatch:
    """Tells, once it has lasted, that a camera seems to look at the zenith.

    A camera that was seen to look elsewhere for long enough is above suspicion.
    """

    def __init__(self) -> None:
        self._suspicious = self._plausible = 0  # images in a row
        self.is_told = False

    def judge(self, down: Vector) -> bool:
        """Take in (3,) gravity of one image; return True if it is suspicious."""
        if not _looks_at_zenith(down):
            self._suspicious, self._plausible = 0, self._plausible + 1
            self.is_told = self.is_told and self._plausible < _CLEARED_AFTER
            return False
        if self._plausible >= _PROVED_AFTER:
            return False
        self._suspicious, self._plausible = self._suspicious + 1, 0
        self.is_told = self.is_told or self._suspicious >= _TOLD_AFTER
        return True


class OpticalFrame:
    """Names the frame that poses, points and gravity are brought to.

    Args:
        tree: of all frames.
        chosen: frames.optical_frame; "" = the frame of the images, unless it looks wrong.
    """

    def __init__(self, tree: FrameTree, chosen: str) -> None:
        self._tree, self._chosen = tree, frame_name(chosen)
        self._looked_up = ""  # frame of the images for which the body's transform is in the tree
        self._judged, self._zenith = "", ZenithWatch()

    @property
    def is_chosen(self) -> bool:
        """Tell whether the user has said which frame it is."""
        return bool(self._chosen)

    @property
    def problem(self) -> str:
        """What to do about a frame that looks like that of a body, "" = it does not."""
        if not self._zenith.is_told:
            return ""
        return (
            f"frame {self._judged} looks like a body frame (x forward, z up), as seen through it "
            "the camera looks at the zenith; an optical frame is expected (REP 103: x right, y "
            "down, z forward). What comes through it is not used: set frames.optical_frame to the "
            f"optical frame, to {BODY} if there is none, or to {self._judged} if it is right"
        )

    def name(self, camera_frame: str) -> str:
        """Return the optical frame of images stamped with a frame."""
        if self._chosen != BODY:
            return self._chosen or camera_frame
        turned = f"{camera_frame} turned to optical"
        if self._looked_up != camera_frame:
            T = np.eye(4)
            T[:3, :3] = OPTICAL_IN_BODY
            self._tree.add_static(turned, camera_frame, T)
            self._looked_up = camera_frame
        return turned

    def is_doubtful(
        self, camera_frame: str, at_ns: int, down: Vector | None, *, bodies: Iterable[str] = ()
    ) -> bool:
        """Judge the frame of one image.

        Args:
            camera_frame: the optical frame, as `name` told it.
            at_ns: stamp of the image.
            down: (3,) gravity in it, None where neither IMU nor odometry nor ground tells.
            bodies: frames whose z axis points up if they are bodies; asked, after the root of
                the tree, where nothing else tells.

        Returns:
            True if nothing that comes through the frame should be used for this image.
        """
        if self._chosen:
            return False
        if camera_frame != self._judged:
            self._judged, self._zenith = camera_frame, ZenithWatch()
        frames = iter((self._tree.root(camera_frame), *bodies))
        while down is None and (frame := next(frames, None)) is not None:
            down = self._down_by(frame, camera_frame, at_ns)
        is_suspicious = down is not None and self._zenith.judge(down)
        return is_suspicious or self._zenith.is_told

    def _down_by(self, body: str, camera_frame: str, at_ns: int) -> Vector | None:
        """Return (3,) down by the z axis of another frame, if that is one of a body by its name.

        z of a body points up (REP 103), at least about.
        """
        if body == camera_frame or not _is_body(body):
            return None
        T_camera_body = self._tree.lookup(camera_frame, body, at_ns)
        return None if T_camera_body is None else -T_camera_body[:3, 2]


def _looks_at_zenith(down: Vector) -> bool:
    up_along_axis = -down[2]
    is_pitched_body = up_along_axis > _UPWARDS and abs(down[1]) < _LEVEL
    return bool(up_along_axis > _AT_ZENITH or is_pitched_body)


def _is_body(frame: str) -> bool:
    """Tell whether a frame has, by its name, z up: base_link, velodyne, odom, but no camera."""
    name = frame.rpartition("/")[2].lower()
    if not name or "optical" in name:
        return False
    return name.endswith(_BODY_NAMES) or not any(part in name for part in _OPTICAL_NAMES)
