"""A planner over a costmap: A* that keeps off what is marked and goes as near as it can."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.evaluation.driving.costmap import LETHAL, NO_INFORMATION, Grid
from mono_depth.evaluation.driving.readings import F64

_CELLS_TOGETHER = 2  # cells of the costmap in one of the plan, along each side
_NEAR_COST = 8.0  # of a cell that just touches what is marked, against 1 in the open
_FADES_M = 0.12
_UNKNOWN_COST = 1.3
_LEAVING_M = 0.35  # around the start even too narrow cells may be left
_LEAVING_COST = 30.0
_STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A way through a costmap."""

    way_m: F64  # (n, 2) in odom, from the start
    reaches: bool  # it ends at the goal; else as near to it as is known to be possible

    @property
    def length_m(self) -> float:
        """Length of the way."""
        return float(np.hypot(*np.diff(self.way_m, axis=0).T).sum())


def distance_to_marks_m(costs: npt.NDArray[np.uint8], resolution_m: float) -> F64:
    """Return (rows, columns) distance from each cell to the edge of the nearest marked one."""
    free = (costs != LETHAL).astype(np.uint8)
    if free.all():
        return np.full(costs.shape, 1e3)
    cells = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.maximum(cells.astype(np.float64) - 0.5, 0.0) * resolution_m)


def plan(
    costs: npt.NDArray[np.uint8], grid: Grid, start_m: F64, goal_m: F64, radius_m: float
) -> Plan:
    """Return the cheapest way from start to goal, or to the reachable place nearest to it.

    Args:
        costs: (rows, columns) of the costmap; what is unknown may be driven through.
        grid: where its cells are.
        start_m: (2,) in odom.
        goal_m: (2,) in odom.
        radius_m: to keep from what is marked.
    """
    price = _prices(costs, grid, start_m, radius_m)
    cell_m = grid.resolution_m * _CELLS_TOGETHER
    coarse = Grid(grid.x_m, grid.y_m, cell_m, *price.shape)
    ends = np.clip(coarse.cells(np.stack([start_m, goal_m])), 0, np.array(price.shape) - 1)
    start, goal = (int(ends[0, 0]), int(ends[0, 1])), (int(ends[1, 0]), int(ends[1, 1]))
    cells = _search(price, start, goal)
    way = coarse.centers(np.array(cells, np.intp).reshape(-1, 2))
    way[0] = start_m
    reaches = cells[-1] == goal
    if reaches:
        way[-1] = goal_m
    return Plan(way_m=way, reaches=reaches)


def _prices(costs: npt.NDArray[np.uint8], grid: Grid, start_m: F64, radius_m: float) -> F64:
    """Return the price of a step into each coarse cell, +Inf where the robot does not fit."""
    gap = _squares(distance_to_marks_m(costs, grid.resolution_m), 1e3).min(axis=(1, 3))
    unknown = _squares((costs == NO_INFORMATION).astype(np.float64), 1.0).max(axis=(1, 3)) > 0.0
    price = 1.0 + _NEAR_COST * np.exp(-np.maximum(gap - radius_m, 0.0) / _FADES_M)
    price = np.where(unknown, _UNKNOWN_COST * price, price)
    cell_m = grid.resolution_m * _CELLS_TOGETHER
    rows, columns = np.indices(price.shape)
    x = grid.x_m + (columns + 0.5) * cell_m - start_m[0]
    y = grid.y_m + (rows + 0.5) * cell_m - start_m[1]
    may_leave = np.hypot(x, y) < _LEAVING_M
    too_narrow = (gap < radius_m) | (gap <= 0.0)
    return np.where(too_narrow, np.where(may_leave & (gap > 0.0), _LEAVING_COST, np.inf), price)


def _squares(values: F64, fill: float) -> F64:
    """Return (rows, n, columns, n): the cells of each square of the plan; beside the map `fill`."""
    n = _CELLS_TOGETHER
    rows, columns = (-(-size // n) * n for size in values.shape)
    full = np.full((rows, columns), fill)
    full[: values.shape[0], : values.shape[1]] = values
    return full.reshape(rows // n, n, columns // n, n)


def _search(price: F64, start: tuple[int, int], goal: tuple[int, int]) -> list[tuple[int, int]]:
    """Return cells from start to goal, or to the cell nearest to it that can be reached (A*)."""
    rows, columns = price.shape
    prices = price.tolist()
    best = {start: 0.0}
    came: dict[tuple[int, int], tuple[int, int]] = {}
    done: set[tuple[int, int]] = set()
    nearest, nearest_left = start, math.dist(start, goal)
    waiting = [(nearest_left, start)]
    while waiting:
        _, here = heapq.heappop(waiting)
        if here in done:
            continue
        done.add(here)
        left = math.dist(here, goal)
        if left < nearest_left - 1e-9:
            nearest, nearest_left = here, left
        if here == goal:
            break
        for row_step, column_step in _STEPS:
            row, column = here[0] + row_step, here[1] + column_step
            if not (0 <= row < rows and 0 <= column < columns):
                continue
            there_price = prices[row][column]
            if there_price == math.inf:
                continue
            if row_step and column_step:
                if math.inf in (prices[here[0]][column], prices[row][here[1]]):
                    continue  # not between two corners
                there_price *= math.sqrt(2.0)
            there, cost = (row, column), best[here] + there_price
            if cost < best.get(there, math.inf):
                best[there], came[there] = cost, here
                heapq.heappush(waiting, (cost + math.dist(there, goal), there))
    way = [nearest]
    while way[-1] != start:
        way.append(came[way[-1]])
    return way[::-1]
