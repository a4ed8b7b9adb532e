"""What the server takes at most. Everything that a client can make large is bounded here."""

from __future__ import annotations

from dataclasses import dataclass, field

from mono_depth.web.jobs.job_limits import JobLimits


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """Limits of one server."""

    max_bytes: int = 32 << 20  # of a request's body
    max_pixels: int = 1 << 25  # 33 million; read from the header, before anything is decoded
    waiting: int = 8  # images behind the one in work; more are told to come back
    together: int = 0  # of those that wait and are alike, one run answers; 0 = as the device likes
    upload_s: float = 30.0  # for a body to arrive
    kept_results: int = 32  # for downloads; the oldest go
    kept_bytes: int = 256 << 20  # of their maps; the newest result is kept whatever its size
    loaded_models: int = 2  # at the same time
    jobs: JobLimits = field(default_factory=JobLimits)
