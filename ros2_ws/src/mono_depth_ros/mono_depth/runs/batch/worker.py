"""What runs one item, in whatever process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mono_depth.config import PipelineConfig
from mono_depth.errors import MonoDepthError
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.recordings.frames.open import OpenOptions, open_frames
from mono_depth.runs.account import Account
from mono_depth.runs.batch.items import Item
from mono_depth.runs.options import STREAM_OUTPUTS, RunOptions
from mono_depth.runs.run import expected_frames, run


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """All that a worker must know; the same for each of them."""

    out: str  # folder of the results
    config: PipelineConfig  # with engine, precision and threads told
    open_options: OpenOptions
    video_options: RunOptions  # for what is a video
    photo_options: RunOptions  # for what is photographs
    again: bool = False  # look once more at frames that failed


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an item."""

    account: dict[str, Any] | None = None  # of its frames; None = it failed
    reason: str = ""  # why it failed
    has_died: bool = False  # the worker did


# Is told after each frame; the number is of the frames that are expected, None = not known.
Watch = Callable[[Account, int | None], None]


class Worker:
    """Loads the network with the first item, and keeps it."""

    def __init__(self, job: BatchJob) -> None:
        self._job = job
        self._pipeline: DepthPipeline | None = None

    def take(self, job: BatchJob) -> None:
        """Work for another job from now on; the network stays where its configuration does."""
        if job.config != self._job.config and self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None
        self._job = job

    def work(self, item: Item, watch: Watch | None = None) -> Outcome:
        """Return what became of an item. Whatever is wrong with it is said, and raised never."""
        try:
            return Outcome(account=self._account_of(item, watch))
        except MonoDepthError as error:
            return Outcome(reason=str(error))
        except Exception as error:  # noqa: BLE001 - a bad item never stops the rest
            return Outcome(reason=f"unexpected: {type(error).__name__}: {error}")

    def _account_of(self, item: Item, watch: Watch | None) -> dict[str, Any]:
        job = self._job
        source = open_frames(item.source, job.open_options)
        if self._pipeline is None:
            self._pipeline = build_pipeline(job.config)
        options = job.video_options if source.is_video else _of_photos(job.photo_options)
        out = Path(job.out) / item.name
        total = expected_frames(source, options)

        def progress(account: Account) -> None:
            if watch is not None:
                watch(account, total)

        account = run(
            source, self._pipeline, job.config, options, out, again=job.again, progress=progress
        )
        return account.as_json()


def _of_photos(options: RunOptions) -> RunOptions:
    """Return options without the files that are one of all frames of a video."""
    kept = tuple(name for name in options.outputs if name not in STREAM_OUTPUTS)
    return replace(options, outputs=kept or ("png",))
