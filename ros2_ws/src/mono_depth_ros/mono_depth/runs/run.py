"""A source to a folder of depth: each frame once, and an account of all of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from mono_depth import __version__
from mono_depth.config import PipelineConfig, flatten
from mono_depth.data import Frame
from mono_depth.display.colormap import DisplayRange
from mono_depth.errors import ConfigError, FrameError, MonoDepthError
from mono_depth.models.store.registry import read_registry
from mono_depth.outputs.point_cloud import CloudBuilder
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.recordings.frames.source import FrameSource, SourceFrame
from mono_depth.recordings.inputs import with_inputs
from mono_depth.runs.account import Account
from mono_depth.runs.frame_files import done_file, frame_files
from mono_depth.runs.frame_maps import FrameMaps
from mono_depth.runs.options import RunOptions
from mono_depth.runs.output_folder import ACCOUNT_FILE, OutputFolder, read_account
from mono_depth.runs.stream_files import StreamFile, stream_files
from mono_depth.stream.stamp_guard import StampGuard

Progress = Callable[[Account], None]  # is told after each frame
Watch = Callable[[Frame, FrameMaps], None]  # is shown each frame and its maps

# Say where files lie, not what comes out; the model and its weights are told by name and sum.
PATHS = ("registry", "weights_dir")


def run(
    source: FrameSource,
    pipeline: DepthPipeline,
    config: PipelineConfig,
    options: RunOptions,
    out: Path,
    *,
    overwrite: bool = False,
    again: bool = False,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Account:
    """Write the depth of all frames of a source to a folder.

    A folder that an earlier call with the same settings filled in part is completed: files that
    are there stay as they are, and those that are added are the same as if nothing had happened.

    Args:
        source: where frames come from.
        pipeline: built of `config`; what it remembers is forgotten.
        config: of the pipeline, with threads, engine and precision told.
        options: what is written.
        out: the folder.
        overwrite: make everything anew.
        again: look once more at frames that failed in a run that came to its end.
        progress: is told after each frame.
        watch: is shown each frame that is computed.

    Raises:
        ConfigError: the folder has other settings, or the source cannot be read.
        ModelError: the memory does not suffice.
        MonoDepthError: a file cannot be written.
    """
    _check(source, options)
    with OutputFolder.opened(out, overwrite=overwrite) as folder:
        if source.is_live and read_account(out) is not None:
            raise ConfigError(f"{out} is of an earlier run: a camera does not go back; --overwrite")
        folder.claim(settings_of(source, pipeline, config, options))
        ended = read_account(out)
        if ended is not None and not (again and ended["failed"]):
            return _of_earlier_run(ended)
        try:
            return _Run(source, pipeline, config, options, folder, watch).all_frames(progress)
        except OSError as error:
            raise MonoDepthError(f"{out} cannot be written: {error}") from error


def settings_of(
    source: FrameSource, pipeline: DepthPipeline, config: PipelineConfig, options: RunOptions
) -> dict[str, Any]:
    """Return all that decides the bytes of the results, as JSON has it."""
    values = {name: value for name, value in flatten(config).items() if name not in PATHS}
    return {
        "mono_depth": __version__,
        "source": {"name": source.name, "is_video": source.is_video, **source.identity},
        "camera": source.camera,
        "model": {
            "name": pipeline.model.name,
            "weights_sha256": pipeline.model.weights_sha256,
            "licence": licence_of(config, pipeline.model.name),
        },
        "device": pipeline.model.device.type,
        "options": {**vars(options)},
        "pipeline": values,
    }


def expected_frames(source: FrameSource, options: RunOptions) -> int | None:
    """Return how many frames will be taken, as far as the source tells it; None = it does not."""
    most = options.most or None
    if source.count is None:
        return most
    total = -(-source.count // options.every)
    return total if most is None else min(most, total)


def licence_of(config: PipelineConfig, model: str) -> str:
    """Return the licence of the weights of a model, "" = the registry does not know it."""
    registry = read_registry(Path(config.registry) if config.registry else None)
    return registry[model].licence if model in registry else ""


def _check(source: FrameSource, options: RunOptions) -> None:
    if options.streams and not source.is_video:
        raise ConfigError(
            f"{', '.join(options.streams)} is one file of all frames of a video or bag, and "
            f"{source.name} is photographs; --kind video takes them for one"
        )


def _of_earlier_run(ended: dict[str, Any]) -> Account:
    return Account(
        done=ended["done"],
        reused=ended["done"],
        failed=ended["failed"],
        skipped=ended["skipped"],
        without_metres=ended["without_metres"],
        notes=ended["notes"],
    )


class _Run:
    """One pass over a source."""

    def __init__(
        self,
        source: FrameSource,
        pipeline: DepthPipeline,
        config: PipelineConfig,
        options: RunOptions,
        folder: OutputFolder,
        watch: Watch | None,
    ) -> None:
        self._source, self._pipeline, self._config = source, pipeline, config
        self._options, self._folder, self._watch = options, folder, watch
        self._licence = licence_of(config, pipeline.model.name)
        self._account, self._guard = Account(), StampGuard()
        self._colors, self._clouds = DisplayRange(), CloudBuilder()
        self._streams: list[StreamFile] = []
        # Frames of a video depend on those before, which are therefore computed once more.
        self._needs_all = source.is_video

    def all_frames(self, progress: Progress | None) -> Account:
        """Return what became of the frames."""
        account = self._account
        self._pipeline.reset()
        with ExitStack() as cleanup:
            self._streams = stream_files(self._folder, self._options, self._source.rate_hz)
            for stream in self._streams:
                cleanup.callback(stream.abandon)
            try:
                for item in self._wanted():
                    self._take(item)
                    if progress is not None:
                        progress(account)
            except KeyboardInterrupt:
                if not self._source.is_live:
                    raise
            notes = [stream.finish(self._folder) for stream in self._streams]
        for note in (*notes, *self._source.notes):
            self._note(note)
        self._folder.write_json(ACCOUNT_FILE, account.as_json())
        return account

    def _wanted(self) -> Iterator[SourceFrame]:
        most = self._options.most * self._options.every or None
        return itertools.islice(self._source.frames(), 0, most, self._options.every)

    def _take(self, item: SourceFrame) -> None:
        is_there = self._folder.has(done_file(item.name))
        if is_there and not self._needs_all:
            about = json.loads((self._folder.path / done_file(item.name)).read_text("utf-8"))
            self._count(is_there=True, is_metric=about["is_metric"])
            return
        try:
            frame = self._loaded(item)
            if not self._admitted(item, frame):
                return
            result = self._pipeline.process(frame)
        except FrameError as error:
            self._account.failed[item.name] = str(error)
            return
        maps = FrameMaps(result, self._options, self._colors, self._clouds)
        if not is_there:
            names = {"model": self._pipeline.model.name, "licence": self._licence}
            self._folder.write(frame_files(item.name, maps, self._options.outputs, **names))
        for stream in self._streams:
            self._note(stream.add(frame, maps))
        if self._watch is not None:
            self._watch(frame, maps)
        self._count(is_there=is_there, is_metric=maps.depth_m is not None)

    def _loaded(self, item: SourceFrame) -> Frame:
        frame = item.load()
        if frame.camera_height_m is None and self._options.camera_height_m > 0.0:
            frame = replace(frame, camera_height_m=self._options.camera_height_m)
        return with_inputs(frame, self._options.inputs)

    def _admitted(self, item: SourceFrame, frame: Frame) -> bool:
        """Tell whether a frame goes on from those before, and forget them where it does not."""
        if not self._source.is_video:
            self._pipeline.reset()
            self._colors = DisplayRange()
            return True
        try:
            arrived_s = frame.stamp_ns * 1e-9  # files come at once: their own clock is the only one
            reason = self._guard.admit(frame.stamp_ns, self._config.stream, arrived_s=arrived_s)
        except FrameError as error:
            self._account.skipped[item.name] = str(error)
            return False
        if reason:
            self._pipeline.reset()
            self._note(f"{item.name}: the past is forgotten: {reason}")
        return True

    def _count(self, *, is_there: bool, is_metric: bool) -> None:
        self._account.done += 1
        self._account.without_metres += not is_metric
        self._account.reused += is_there

    def _note(self, text: str) -> None:
        if text and text not in self._account.notes:
            self._account.notes.append(text)
