"""What decides the bytes of a result, fixed: with `auto` the fastest engine of the moment runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mono_depth.config import PipelineConfig, flatten
from mono_depth.data import Frame
from mono_depth.errors import FrameError
from mono_depth.models.loading import usable_files
from mono_depth.models.store.registry import ModelEntry, read_registry
from mono_depth.pipeline.build import build_pipeline
from mono_depth.system.resources import weights_dir
from mono_depth.system.threads import usable_cores

_ONNX_FAMILY = "onnx"  # torch does not run its files
_PINNED = {"model": "auto", "engine": "auto", "precision": "auto", "threads": 0}


def pinned(config: PipelineConfig, frame: Frame | None = None) -> PipelineConfig:
    """Return a configuration that names model, engine, precision and threads.

    Args:
        config: what is asked for.
        frame: of the input; the fastest engine for it is taken, where the choice is free. None =
            torch in fp32, and ONNX Runtime for files of ONNX.

    Raises:
        ModelError: there is no such model.
    """
    entry = _entry(config)
    config = replace(config, model=entry.name, threads=config.threads or usable_cores())
    if "auto" not in (config.engine, config.precision):
        return config
    found = None if frame is None else _fastest(config, frame)
    engine, precision = found or (
        "onnxruntime" if entry.family == _ONNX_FAMILY else "torch",
        "fp32",
    )
    return replace(
        config,
        engine=engine if config.engine == "auto" else config.engine,
        precision=precision if config.precision == "auto" else config.precision,
    )


def as_before(config: PipelineConfig, settings: Mapping[str, Any]) -> PipelineConfig:
    """Return a configuration with what an earlier run was pinned to, where the choice is free.

    Args:
        config: what is asked for.
        settings: of the earlier run.
    """
    before, now = settings.get("pipeline", {}), flatten(config)
    free = {name: before[name] for name, free in _PINNED.items() if now[name] == free}
    return replace(config, **free)


def _entry(config: PipelineConfig) -> ModelEntry:
    entries = read_registry(Path(config.registry).expanduser() if config.registry else None)
    if config.model != "auto":
        return entries[config.model]
    folder = Path(config.weights_dir) if config.weights_dir else weights_dir()
    allow = config.allow_noncommercial
    return next(usable_files(entries, folder.expanduser(), allow_noncommercial=allow))[0]


def _fastest(config: PipelineConfig, frame: Frame) -> tuple[str, str] | None:
    """Return engine and precision that run the network on a frame, None where it says nothing."""
    pipeline = build_pipeline(config)
    try:
        pipeline.process(frame)
    except FrameError:
        return None
    finally:
        pipeline.close()
    reports = pipeline.engine_reports()
    return (reports[0].plan.engine, reports[0].plan.precision) if reports else None
