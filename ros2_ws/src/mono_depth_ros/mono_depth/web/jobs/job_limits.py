"""What jobs may take at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class JobLimits:
    """Limits of the jobs of one server."""

    folder: str = ""  # for uploads and results, "" = that of the system for temporary files
    upload_bytes: int = 1 << 30  # of a file
    upload_s: float = 600.0  # for it to arrive
    disk_bytes: int = 8 << 30  # of all jobs together, uploads and results; one has half of it
    reserve_bytes: int = 1 << 30  # of the disk that stay free, whatever `disk_bytes` allows
    waiting: int = 4  # jobs behind the one in work
    kept: int = 100  # jobs that have ended; the oldest go
    kept_s: float = 3600.0  # after this the results are removed
    zipped_files: int = 20_000  # in a folder
    silence_s: float = 600.0  # without a frame: the job has failed

    @property
    def most_of_one(self) -> int:
        """Bytes of one job, upload and results together."""
        return self.disk_bytes // 2
