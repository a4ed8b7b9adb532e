"""The last scale that was measured, kept on disk, so that the next run need not begin without.

It belongs to one form of output: the same weights, camera and hints. What comes back is no
measurement: it lets obstacles be marked until a source measures again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mono_depth.config import ScaleConfig
from mono_depth.data import Intrinsics, OutputKind, PlannerUse, ScaleStatus
from mono_depth.scale.kinds import MEASURED
from mono_depth.scale.scale_filter import ScaleFilter
from mono_depth.scale.scale_shift import METRIC_KINDS, Pivot, ScaleShift

_LOG = logging.getLogger(__name__)

_VERSION = 1
_LEAST_SIGMA = 0.1  # light, place and load have changed since
_SIGMA_PER_DAY = 0.02
_DAY_S = 86400.0
_UNKNOWN_AGE_DAYS = 7.0  # of a scale from the future: the clock was not set, then or now
_WORST_SIGMA = 0.5  # beyond it a scale is no help
_MOST_BYTES = 1 << 16
_MOST_FILES = 64  # of one folder, and forms to remember: a zoom lens makes many
_LATEST_S = 1e11


@dataclass(frozen=True, kw_only=True)
class OutputForm:
    """What the numbers of a network depend on: a scale holds for one of them and no other."""

    model: str
    weights_sha256: str
    kind: OutputKind
    output_size: tuple[int, int]  # (h, w): another input size sees another scale
    hints: str  # what went in beside the image, "" = nothing
    reference_focal: float  # of the focal rule, 0 = none
    frame_id: str  # two cameras of one robot may be alike
    camera: tuple[float, float, float, float]  # fx, fy, cx, cy in widths and heights of the image

    @staticmethod
    def camera_of(intrinsics: Intrinsics) -> tuple[float, float, float, float]:
        """Return what tells a camera from others, whatever size its images are resized to."""
        width, height = intrinsics.width, intrinsics.height
        return (
            round(intrinsics.fx / width, 3),
            round(intrinsics.fy / height, 3),
            round((intrinsics.cx + 0.5) / width, 3),
            round((intrinsics.cy + 0.5) / height, 3),
        )


@dataclass(frozen=True, kw_only=True)
class HeldScale:
    """A scale as a source measured it, for one form of output."""

    form: OutputForm
    source: str
    scale: float  # and shift: as in `ScaleStatus`
    shift: float
    sigma_rel: float
    measured_s: float  # when, in seconds since 1970

    @classmethod
    def of(cls, status: ScaleStatus, form: OutputForm | None, now_s: float) -> HeldScale | None:
        """Return the scale of a frame if it was measured, is trusted and is not contradicted."""
        is_sure = status.planner_use is PlannerUse.MARK_AND_CLEAR and status.source in MEASURED
        if form is None or not is_sure:
            return None
        return cls(
            form=form,
            source=status.source,
            scale=status.scale,
            shift=status.shift,
            sigma_rel=status.sigma_rel,
            measured_s=now_s,
        )

    @property
    def scale_shift(self) -> ScaleShift:
        """Scale and shift of the output."""
        gain = 1.0 / self.scale if self.form.kind in METRIC_KINDS else self.scale
        return ScaleShift(gain=gain, shift=self.shift)

    def aged(self, now_s: float) -> HeldScale:
        """Return it with the deviation that it has at a time, in seconds since 1970."""
        days = (now_s - self.measured_s) / _DAY_S
        days = days if days >= 0.0 else _UNKNOWN_AGE_DAYS
        sigma = max(self.sigma_rel, _LEAST_SIGMA) + _SIGMA_PER_DAY * days
        return replace(self, sigma_rel=sigma)

    def helps(self, config: ScaleConfig, model_sigma_rel: float) -> bool:
        """Tell whether it may stand in for what nothing has measured yet.

        Args:
            config: names the sources that are wanted, and the limits of what they say.
            model_sigma_rel: of the network's own metres; NaN = not known.
        """
        if config.source not in ("auto", self.source):
            return False
        if self.form.kind not in METRIC_KINDS:
            return self.sigma_rel <= _WORST_SIGMA
        is_possible = 1.0 / config.max_correction <= self.scale <= config.max_correction
        worst = _WORST_SIGMA if math.isnan(model_sigma_rel) else min(_WORST_SIGMA, model_sigma_rel)
        return is_possible and self.sigma_rel <= worst

    def status(self) -> ScaleStatus:
        """Return the state of a frame whose metres it gives."""
        measured = datetime.fromtimestamp(self.measured_s, timezone.utc)
        return ScaleStatus(
            source=self.source,
            state="held",
            reason=f"{self.source} measured it on {measured:%Y-%m-%d %H:%M} UTC; nothing has since",
            scale=self.scale,
            shift=self.shift,
            sigma_rel=self.sigma_rel,
            age_s=math.inf,
        )

    def nearer(self, measured: Mapping[str, ScaleFilter], pivot: Pivot | None) -> str:
        """Return the source that says nearer by more than its deviation, "" = none.

        Args:
            measured: what sources say by now, none of them trusted.
            pivot: of the frame that they spoke of last, None = none did.
        """
        if pivot is None:
            return ""
        found, most = "", 0.0
        for source, scale_filter in measured.items():
            if scale_filter.scale_shift is None:
                continue
            by = self._nearer_by(scale_filter.scale_shift, pivot)
            if by > max(most, scale_filter.sigma_rel):
                found, most = source, by
        return found

    def _nearer_by(self, other: ScaleShift, pivot: Pivot) -> float:
        """Return log(own depth / other depth), in the middle or near by, whichever is more."""
        y_is_depth = self.form.kind is OutputKind.DEPTH_AFFINE
        near = pivot.middle + (-0.5 if y_is_depth else 0.5) * pivot.width
        found = -math.inf
        for x in (pivot.middle, near):
            own, others = (law.gain * x + law.shift for law in (self.scale_shift, other))
            if own <= 0.0 or others <= 0.0:
                continue  # one of them has no depth there
            ratio = own / others if y_is_depth else others / own
            found = max(found, math.log(ratio))
        return found


class HeldScales:
    """Held scales in a folder, a file for each form of output. Safe to use from two threads."""

    def __init__(self, folder: Path) -> None:
        """Take a folder; it is made when the first scale is stored."""
        self.folder = folder.expanduser()
        self._known: dict[OutputForm, HeldScale | None] = {}

    def find(self, form: OutputForm, now_s: float | None = None) -> HeldScale | None:
        """Return the scale of a form with the deviation that it has now, None = there is none.

        A file is read once. What cannot be read is told in the log and left alone.
        """
        if form not in self._known:
            if len(self._known) >= _MOST_FILES:
                self._known.clear()
            self._known[form] = _read(self._file_of(form), form)
        held = self._known[form]
        return None if held is None else held.aged(time.time() if now_s is None else now_s)

    def store(self, held: HeldScale) -> None:
        """Write a scale in place of the one before, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        self._known[held.form] = held
        content = {"version": _VERSION} | asdict(held)
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=".partial-")
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._file_of(held.form))
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        self._make_room()

    def _make_room(self) -> None:
        files = sorted(self.folder.glob("*.json"), key=lambda file: -file.stat().st_mtime)
        for file in files[_MOST_FILES:]:
            file.unlink(missing_ok=True)

    def _file_of(self, form: OutputForm) -> Path:
        text = json.dumps(asdict(form), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self.folder / f"{form.model}-{digest}.json"


def _read(file: Path, form: OutputForm) -> HeldScale | None:
    try:
        if not file.is_file():
            return None
        with file.open("rb") as opened:
            return _parsed(json.loads(opened.read(_MOST_BYTES)), form)
    except (OSError, ValueError, RecursionError) as error:
        _LOG.warning("the held scale %s is ignored: %s", file, error)
        return None


def _parsed(content: Any, form: OutputForm) -> HeldScale:  # noqa: ANN401 - whatever JSON holds
    """Return the scale of a file.

    Raises:
        ValueError: it is not one, or that of another form.
    """
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise ValueError(f"it is no held scale of version {_VERSION}")
    if content.get("form") != json.loads(json.dumps(asdict(form))):
        raise ValueError("it is of another model or camera")
    if content.get("source") not in MEASURED:
        raise ValueError(f"its source is {content.get('source')!r}")
    names = ("scale", "shift", "sigma_rel", "measured_s")
    numbers = {name: _number(name, content.get(name)) for name in names}
    if numbers["scale"] <= 0.0 or numbers["sigma_rel"] <= 0.0:
        raise ValueError("its scale or deviation is not above 0")
    if not 0.0 <= numbers["measured_s"] < _LATEST_S:
        raise ValueError(f"its measured_s is {numbers['measured_s']!r}")
    return HeldScale(form=form, source=content["source"], **numbers)


def _number(name: str, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            if math.isfinite(value):
                return float(value)
    raise ValueError(f"its {name} is {value!r}")
