"""In what unit depth is, seen by how long the steps of odometry look in it."""

from __future__ import annotations

import math

_FIRST_SIGMA = 2.0  # of the log of the unit, before anything was seen
_DRIFT = 0.08  # of the unit [1/sqrt(s)]
_SYSTEMATIC = 0.15  # of one measurement, beside its noise: depth is wrong in its own way
_MAX_SURPRISE = 1.0  # in log; what surprises more is half believed at most
_SURE_SIGMA = 0.1  # from here on the unit counts as known
_START_S = 1.0  # the network's units of this time are averaged before one is held on to


class UnitOfDepth:
    """Follows the unit that the memory of depth is in, and the one it should be in.

    The scale of the memory is handed on from frame to frame, and every hand-over adds an error.
    While the camera moves forward these errors have one sign: networks show too little contrast,
    so what comes nearer seems to come nearer slowly, and the memory would shrink by a few per
    cent each second. Odometry has one unit for good. The memory is kept in the unit that the
    network has in the long run, as odometry measures it.
    """

    def __init__(self) -> None:
        self.log_unit = 0.0  # log of the step in the unit of depth over that of odometry
        self._variance = _FIRST_SIGMA**2
        self._log_wanted: float | None = None
        self._seen_s = 0.0

    @property
    def certainty(self) -> float:
        """How well the unit is known, 0..1."""
        return min(1.0, _SURE_SIGMA**2 / self._variance)

    def predict(self, step_s: float) -> None:
        """Let time pass."""
        self._variance = min(self._variance + _DRIFT**2 * step_s, _FIRST_SIGMA**2)

    def correct(self, factor: float, sigma_rel: float) -> None:
        """Take in by what factor a step is longer in the unit of depth than in odometry's."""
        gain = self._variance / (self._variance + sigma_rel**2 + _SYSTEMATIC**2)
        surprise = math.log(factor) - self.log_unit
        self.log_unit += gain * min(max(surprise, -_MAX_SURPRISE), _MAX_SURPRISE)
        self._variance *= 1.0 - gain

    def rescale(self, factor: float) -> None:
        """Follow depth that is multiplied by a factor from now on."""
        self.log_unit += math.log(factor)
        if self._log_wanted is not None:
            self._log_wanted += math.log(factor)

    def pull(self, log_scale: float, step_s: float, time_constant_s: float) -> float:
        """Return by how much the log depth of the memory should change, and assume that it does.

        Args:
            log_scale: log depth of the memory over that of the network.
            step_s: since the last frame.
            time_constant_s: in which the memory comes to the wanted unit.
        """
        certainty = self.certainty
        log_network = self.log_unit - log_scale
        self._seen_s += certainty * step_s
        if self._log_wanted is None:
            self._log_wanted = log_network
        averaged_s = (
            self._seen_s if self._seen_s < _START_S else max(PATIENCE * time_constant_s, _START_S)
        )
        share = certainty * step_s / averaged_s
        self._log_wanted += share * (log_network - self._log_wanted)
        rate = certainty * -math.expm1(-step_s / time_constant_s)
        change = rate * (self._log_wanted - self.log_unit)
        self.log_unit += change
        return change


PATIENCE = 7.0  # times longer the network's scale is averaged where odometry holds it
