"""Metric points of a camera whose way odometry tells.

One image, in order: follow the corners of the last one, mend the pose of odometry by them, tell
the depth of those that have moved enough, look for landmarks whose tracks were lost, and where the
camera has moved on, take this view as a key view and new corners in it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose, rotation_vector
from mono_depth.data import FollowedCorners, Intrinsics, MotionPoints, RgbImage
from mono_depth.motion.inverse_depth import Array
from mono_depth.motion.landmarks import LandmarkMap
from mono_depth.motion.pose_check import DOES_NOT_FIT
from mono_depth.motion.present_view import OdometryNoise, PresentView, refined
from mono_depth.motion.track_table import TrackTable, homogeneous
from mono_depth.motion.tracker import Grey, follow, grey_of, new_corners, working_camera

_TRACK_PX = 0.35  # deviation of a followed corner, in pixels of the working image
_KEY_PARALLAX_PX = 4.0  # median, at which a view becomes a key view
_KEY_TURN_RAD = 0.12
_KEY_LOST = 0.4  # of the corners
_MIN_TRACKS = 20
_MIN_FITS = 0.5  # of the tracks must fit the mended pose
_MAX_SURPRISE = 8.0  # of the mended pose, in deviations of odometry
_FITS = 9.0  # squared deviations of a track that tells depth,
_WRONG = 25.0  # and of one that is given up: it is not of a resting point
_MAX_SIGMA = 0.08
_MIN_VIEWS = 1  # beside the newest key view and the present one
_DEPTH_RANGE_M = (0.05, 60.0)
_SCALE_SIGMA = 0.02  # of the length of the way
_MAX_SPEED_MPS = 30.0  # a faster step is a jump of the odometry
_MAX_STEP_S = 1.0


class DepthFromMotion:
    """Follows the corners of one camera and tells how deep they are. Not thread-safe."""

    def __init__(self) -> None:
        self._noise = OdometryNoise()
        self._landmarks = LandmarkMap()
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._tracks: TrackTable | None = None
        self._grey: Grey | None = None
        self._last: tuple[int, Pose] | None = None  # stamp and pose by odometry
        self._T_odom_key: Pose = np.eye(4)  # the newest key view by odometry
        self._T_map_last: Pose = np.eye(4)  # the last view, mended
        self._landmarks.clear()
        self._way_m = 0.0
        self._corners: FollowedCorners | None = None  # in pixels of the working image

    def update(
        self, rgb: RgbImage, intrinsics: Intrinsics, stamp_ns: int, T_odom_camera: Pose | None
    ) -> MotionPoints:
        """Take in one image and return the points whose depth is known in it.

        Args:
            rgb: (H, W, 3) uint8.
            intrinsics: its camera.
            stamp_ns: of the image; one that is not newer starts over.
            T_odom_camera: pose of the camera by odometry, None = not known.
        """
        if T_odom_camera is None or not np.isfinite(T_odom_camera).all():
            self.reset()
            return MotionPoints.none("no odometry at the stamp of the image")
        camera = working_camera(intrinsics)
        grey = grey_of(rgb, camera)
        tracks, last = self._tracks, self._last
        self._last = stamp_ns, T_odom_camera.copy()
        if tracks is None or last is None or tracks.camera != camera:
            return self._begin(grey, camera, T_odom_camera, "the first view")
        if _jumped(last, self._last):
            return self._begin(grey, camera, T_odom_camera, "a jump of the odometry or the clock")
        self._way_m += float(np.linalg.norm(T_odom_camera[:3, 3] - last[1][:3, 3]))
        self._follow(tracks, grey, np.linalg.inv(T_odom_camera) @ last[1], last[0])
        if len(tracks) < _MIN_TRACKS:
            return self._begin(grey, camera, T_odom_camera, "too few corners to follow")
        view = refined(
            tracks.history[:, -1],
            tracks.rho,
            tracks.variance,
            tracks.rays(),
            np.linalg.inv(T_odom_camera) @ self._T_odom_key,
            deviation=_TRACK_PX / camera.fx,
            noise=self._noise,
        )
        if view.fits < _MIN_FITS or view.surprise > _MAX_SURPRISE:
            return self._begin(grey, camera, T_odom_camera, DOES_NOT_FIT)
        self._T_map_last = tracks.T_map_view[-1] @ np.linalg.inv(view.T_now_key)
        self._tell(tracks, view)
        parallax_px = _parallax_px(tracks, view.T_now_key)
        points = self._points(tracks, view, parallax_px, intrinsics, stamp_ns)
        tracks.keep(np.flatnonzero(view.misfit < _WRONG))
        turn_rad = float(np.linalg.norm(rotation_vector(view.T_now_key[:3, :3])))
        is_lost = len(tracks) < (1.0 - _KEY_LOST) * tracks.count_at_key
        if parallax_px > _KEY_PARALLAX_PX or turn_rad > _KEY_TURN_RAD or is_lost:
            tracks.add_view(
                np.asarray(np.linalg.inv(view.T_now_key)), view.covariance, _TRACK_PX / camera.fx
            )
            tracks.replenish(new_corners(grey, tracks.pixels))
            self._T_odom_key = T_odom_camera.copy()
        return points

    def _begin(self, grey: Grey, camera: Intrinsics, T_odom_camera: Pose, why: str) -> MotionPoints:
        """Start anew with this view and return no points."""
        followed = 0 if self._tracks is None else len(self._tracks)
        self._landmarks.clear()
        self._way_m = 0.0
        corners = new_corners(grey, np.empty((0, 2), np.float32))
        self._tracks = TrackTable(camera, corners, T_odom_camera)
        self._grey = grey
        self._T_odom_key = self._T_map_last = T_odom_camera.copy()
        return MotionPoints.none(why, followed=followed)

    def _follow(self, tracks: TrackTable, grey: Grey, T_now_last: Pose, last_ns: int) -> None:
        """Follow all corners; those that get lost and are known become landmarks."""
        last_grey, K = self._grey, tracks.camera
        self._grey = grey
        if last_grey is None:
            return
        ray = homogeneous(tracks.rays()) @ T_now_last[:3, :3].T
        ray = ray[:, :2] / np.maximum(ray[:, 2:], 0.1)
        guess = np.stack((ray[:, 0] * K.fx + K.cx, ray[:, 1] * K.fy + K.cy), axis=1)
        found = follow(last_grey, grey, tracks.pixels, guess.astype(np.float32))
        lost = np.isfinite(tracks.depth_m)
        lost[found.kept] = False
        if lost.any():
            T = self._T_map_last
            self._landmarks.add(
                last_grey,
                tracks.pixels[lost],
                tracks.points()[lost] @ T[:3, :3].T + T[:3, 3],
                tracks.depth_m[lost],
                tracks.sigma_rel[lost],
                tracks.views[lost],
                stamp_ns=last_ns,
                way_m=self._way_m,
            )
        before = tracks.pixels[found.kept].astype(np.float64)
        tracks.keep(found.kept)
        tracks.pixels = found.pixels
        now = found.pixels.astype(np.float64)
        self._corners = FollowedCorners(since_ns=last_ns, before=before, now=now)

    def _tell(self, tracks: TrackTable, view: PresentView) -> None:
        """Note the depth of each track in the present view, where it is known."""
        T = view.T_now_key
        with np.errstate(divide="ignore", invalid="ignore"):
            depth_m = (tracks.key_rays @ T[2, :3]) / view.rho + T[2, 3]
            sigma = np.hypot(np.sqrt(view.variance) / np.abs(view.rho), _SCALE_SIGMA)
            nearest_m, farthest_m = _DEPTH_RANGE_M
            good = (view.rho > 0.0) & (depth_m > nearest_m) & (depth_m < farthest_m)
            good &= (sigma < _MAX_SIGMA) & (tracks.views >= _MIN_VIEWS) & (view.misfit < _FITS)
        tracks.depth_m = np.where(good, depth_m, np.nan)
        tracks.sigma_rel = np.where(good, sigma, np.nan)

    def _points(
        self,
        tracks: TrackTable,
        view: PresentView,
        parallax_px: float,
        intrinsics: Intrinsics,
        stamp_ns: int,
    ) -> MotionPoints:
        grey, camera = self._grey, tracks.camera
        known = np.isfinite(tracks.depth_m)
        pixels = tracks.pixels.astype(np.float64)
        parts: list[tuple[Array, Array, Array, npt.NDArray[np.intp], Array]] = [
            (
                pixels[known],
                tracks.depth_m[known],
                tracks.sigma_rel[known],
                tracks.views[known] + 2,
                np.zeros(int(known.sum())),
            )
        ]
        if grey is not None and len(self._landmarks):
            old = self._landmarks.seen(
                grey,
                camera,
                self._T_map_last,
                pixels,
                tracks.depth_m,
                stamp_ns=stamp_ns,
                way_m=self._way_m,
            )
            parts.append((old.pixels, old.depth_m, old.sigma_rel, old.views + 2, old.age_s))
        place, depth_m, sigma_rel, views, age_s = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )

        def in_image(places: Array) -> Array:
            return np.asarray((places + 0.5) * (intrinsics.width / camera.width) - 0.5)

        is_moving, corners = view.misfit > _FITS, self._corners
        if corners is not None:
            corners = replace(corners, before=in_image(corners.before), now=in_image(corners.now))
        return MotionPoints(
            pixels=in_image(place),
            depth_m=depth_m,
            sigma_rel=sigma_rel,
            views=views.astype(np.intp),
            age_s=age_s,
            followed=len(tracks),
            refused=float(np.mean(is_moving)),
            parallax_px=parallax_px,
            unknown=in_image(pixels[~known & ~is_moving]),
            moving=in_image(pixels[is_moving]),
            corners=corners,
            reason="" if len(depth_m) else "too little parallax: it needs a step sideways",
        )


def _parallax_px(tracks: TrackTable, T_now_key: Pose) -> float:
    """Return how far corners have moved since the key view, beside what the turn explains."""
    still = tracks.key_rays @ T_now_key[:3, :3].T
    moved = still[:, :2] / np.maximum(still[:, 2:], 0.1) - tracks.rays()
    return tracks.camera.fx * float(np.median(np.hypot(moved[:, 0], moved[:, 1])))


def _jumped(last: tuple[int, Pose], now: tuple[int, Pose]) -> bool:
    step_s = (now[0] - last[0]) * 1e-9
    step_m = float(np.linalg.norm(now[1][:3, 3] - last[1][:3, 3]))
    return step_s <= 0.0 or step_s > _MAX_STEP_S or step_m > _MAX_SPEED_MPS * step_s
