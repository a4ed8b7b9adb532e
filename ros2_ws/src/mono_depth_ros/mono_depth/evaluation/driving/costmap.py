"""Stand-ins of Nav2's obstacle layer and voxel layer, from how they behave."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.evaluation.driving.readings import F64, CloudReading, LaserReading, PlanePose

FREE, LETHAL, NO_INFORMATION = 0, 254, 255  # nav2_costmap_2d cost_values.hpp

Cells = npt.NDArray[np.intp]  # (n, 2) row and column


@dataclass(frozen=True, kw_only=True)
class ObservationSource:
    """One observation source; names and defaults are those of Nav2's parameters."""

    marking: bool = True
    clearing: bool = False
    inf_is_valid: bool = False
    min_obstacle_height: float = 0.0  # [m]
    max_obstacle_height: float = 0.0  # [m]; the default drops everything that has a height
    obstacle_max_range: float = 2.5  # [m]
    obstacle_min_range: float = 0.0  # [m]
    raytrace_max_range: float = 3.0  # [m]
    raytrace_min_range: float = 0.0  # [m]
    expected_update_rate: float = 0.0  # [s] between messages, 0 = any


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map lie in odom."""

    x_m: float  # of the corner of cell (0, 0)
    y_m: float
    resolution_m: float
    rows: int  # along y
    columns: int  # along x

    @classmethod
    def around(cls, low_m: F64, high_m: F64, resolution_m: float) -> Grid:
        """Return the grid that covers a region of odom."""
        size = np.ceil((np.asarray(high_m)[:2] - np.asarray(low_m)[:2]) / resolution_m).astype(int)
        return cls(float(low_m[0]), float(low_m[1]), resolution_m, int(size[1]), int(size[0]))

    def cells(self, points_m: F64) -> Cells:
        """Return row and column of (n, 2+) points; those beside the map have indices beside it."""
        xy = (points_m[:, :2] - (self.x_m, self.y_m)) / self.resolution_m
        return np.floor(xy[:, ::-1]).astype(np.intp)

    def inside(self, cells: Cells) -> npt.NDArray[np.bool_]:
        """Tell which cells lie in the map."""
        return np.asarray(((cells >= 0) & (cells < (self.rows, self.columns))).all(axis=1))

    def around_place(self, place_m: F64, half_m: float) -> tuple[Grid, tuple[slice, slice]]:
        """Return the part of the map within `half_m` of a place, and its rows and columns."""
        reach = math.ceil(half_m / self.resolution_m)
        row, column = self.cells(np.asarray(place_m)[None, :2])[0].tolist()
        top = min(max(row - reach, 0), self.rows - 1)
        left = min(max(column - reach, 0), self.columns - 1)
        bottom = min(max(row + reach, top) + 1, self.rows)
        right = min(max(column + reach, left) + 1, self.columns)
        x_m, y_m = self.x_m + left * self.resolution_m, self.y_m + top * self.resolution_m
        part = Grid(x_m, y_m, self.resolution_m, bottom - top, right - left)
        return part, (slice(top, bottom), slice(left, right))

    def axes_m(self) -> tuple[F64, F64]:
        """Return x of the middles of the columns and y of those of the rows, in odom."""
        x = self.x_m + (np.arange(self.columns) + 0.5) * self.resolution_m
        y = self.y_m + (np.arange(self.rows) + 0.5) * self.resolution_m
        return np.asarray(x), np.asarray(y)

    def centers(self, cells: Cells) -> F64:
        """Return (n, 2) middles of cells in odom."""
        return np.asarray(
            (cells[:, ::-1] + 0.5) * self.resolution_m + np.array([self.x_m, self.y_m])
        )


class ObstacleLayer:
    """A map of cells: free, lethal or unknown. Clears along rays, then marks their ends."""

    def __init__(self, grid: Grid, source: ObservationSource) -> None:
        self.grid, self.source = grid, source
        self.costs = np.full((grid.rows, grid.columns), NO_INFORMATION, np.uint8)
        self._last_update_s = -math.inf

    def update(
        self,
        reading: LaserReading | CloudReading,
        sensor: PlanePose,
        source: ObservationSource | None = None,
    ) -> None:
        """Take in one message.

        One without a point changes no cell, and counts as an update all the same.

        Args:
            reading: rays or points in the level frame of the sensor.
            sensor: where that was.
            source: how it is read; None = as told at the beginning.
        """
        source = self.source if source is None else source
        if source is self.source:
            self._last_update_s = reading.stamp_s
        points = _points(reading, source)
        low, high = source.min_obstacle_height, source.max_obstacle_height
        points = points[(points[:, 2] >= low) & (points[:, 2] <= high)]  # before clearing, too
        reach = np.hypot(points[:, 0], points[:, 1])
        if source.clearing:
            self._clear(points, reading, sensor, source)
        if source.marking:
            near = (reach < source.obstacle_max_range) & (reach >= source.obstacle_min_range)
            self._mark(points[near], sensor)

    def forget(self, place_m: F64, keep_m: float) -> None:
        """Make all marks unknown but those within `keep_m` of (2,) a place.

        Nav2's behaviour tree clears the whole costmap of a robot that is stuck.
        """
        marked = np.argwhere(self.costs == LETHAL)
        far = np.hypot(*(self.grid.centers(marked) - place_m).T) > keep_m
        self.costs[marked[far, 0], marked[far, 1]] = NO_INFORMATION

    def is_current(self, now_s: float) -> bool:
        """Tell whether messages come as often as expected; else a planner may not run."""
        expected_s = self.source.expected_update_rate
        return expected_s == 0.0 or now_s - self._last_update_s <= expected_s

    def _clear(
        self,
        points: F64,
        reading: LaserReading | CloudReading,
        sensor: PlanePose,
        source: ObservationSource,
    ) -> None:
        del reading
        rays = points[:, :2]
        length = np.hypot(rays[:, 0], rays[:, 1])
        far = length >= max(source.raytrace_min_range, 1e-6)
        rays, length = rays[far], length[far]
        start = rays * (source.raytrace_min_range / length)[:, None]
        end = rays * np.minimum(source.raytrace_max_range / length, 1.0)[:, None]
        cells = [self.grid.cells(sensor.of(ends)) for ends in (start, end)]
        lines = np.unique(np.stack(cells, axis=1)[..., ::-1].astype(np.int32), axis=0)
        cv2.polylines(self.costs, list(lines), False, FREE)  # from cell to cell, as Nav2 does

    def _mark(self, points: F64, sensor: PlanePose) -> None:
        cells = self.grid.cells(sensor.of(points))
        cells = cells[self.grid.inside(cells)]
        self.costs[cells[:, 0], cells[:, 1]] = LETHAL


class VoxelLayer(ObstacleLayer):
    """The same in columns of voxels: rays clear where they pass, above and below stays."""

    def __init__(
        self,
        grid: Grid,
        source: ObservationSource,
        *,
        z_voxels: int = 10,
        z_resolution: float = 0.2,
        origin_z: float = 0.0,
        mark_threshold: int = 0,
    ) -> None:
        """Make an empty map; names and defaults are those of Nav2's parameters."""
        super().__init__(grid, source)
        self._marked = np.zeros((grid.rows, grid.columns, z_voxels), bool)
        self._z = origin_z, z_resolution, z_voxels
        self._mark_threshold = mark_threshold

    def forget(self, place_m: F64, keep_m: float) -> None:
        """Make all marks unknown but those within `keep_m` of (2,) a place."""
        super().forget(place_m, keep_m)
        self._marked &= (self.costs == LETHAL)[..., None]

    def _clear(
        self,
        points: F64,
        reading: LaserReading | CloudReading,
        sensor: PlanePose,
        source: ObservationSource,
    ) -> None:
        height = reading.origin_height_m if isinstance(reading, CloudReading) else reading.height_m
        rays = points - np.array([0.0, 0.0, height])
        along = samples_of(rays, source, 0.5 * min(self.grid.resolution_m, self._z[1]))
        cells, level, inside = self._voxels(sensor.of(along), along[:, 2] + height)
        self._marked[cells[inside, 0], cells[inside, 1], level[inside]] = False
        seen = cells[inside]
        self._show(seen, empty=FREE)

    def _mark(self, points: F64, sensor: PlanePose) -> None:
        cells, level, inside = self._voxels(sensor.of(points), points[:, 2])
        self._marked[cells[inside, 0], cells[inside, 1], level[inside]] = True
        self._show(cells[inside], empty=FREE)

    def _show(self, cells: Cells, *, empty: int) -> None:
        marked = self._marked[cells[:, 0], cells[:, 1]].sum(axis=1)
        cost = np.where(marked > self._mark_threshold, LETHAL, empty)
        self.costs[cells[:, 0], cells[:, 1]] = cost

    def _voxels(
        self, places_m: F64, heights_m: F64
    ) -> tuple[Cells, npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        origin, resolution, count = self._z
        cells = self.grid.cells(places_m)
        level = np.floor((heights_m - origin) / resolution).astype(np.intp)
        inside = self.grid.inside(cells) & (level >= 0) & (level < count)
        return cells, level, inside


def samples_of(rays: F64, source: ObservationSource, step_m: float) -> F64:
    """Return (m, 2) or (m, 3) points along rays from the origin, from end to end of what clears."""
    if not len(rays):
        return rays
    length = np.linalg.norm(rays, axis=1)
    end = np.minimum(length, source.raytrace_max_range)
    count = math.ceil(float(end.max()) / step_m) + 1
    along = np.minimum(np.arange(count)[None] * step_m, end[:, None])
    kept = along >= source.raytrace_min_range
    share = along / np.maximum(length, 1e-9)[:, None]
    return np.asarray((rays[:, None, :] * share[..., None])[kept])


def _points(reading: LaserReading | CloudReading, source: ObservationSource) -> F64:
    if isinstance(reading, LaserReading):
        return reading.points(inf_is_valid=source.inf_is_valid)
    return reading.points()
