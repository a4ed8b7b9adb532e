"""What decides the bytes of a result, fixed: with `auto` the fastest engine of the moment runs."""

from __future__ import annotations

from dataclasses import replace

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame
from mono_depth.errors import FrameError
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.system.threads import usable_cores


def pinned(config: PipelineConfig, frame: Frame | None = None) -> PipelineConfig:
    """Return a configuration with threads, engine and precision as they are now.

    Args:
        config: what is asked for.
        frame: of the input, to choose an engine by; None = torch in fp32, where engine or
            precision are auto.
    """
    config = replace(config, threads=config.threads or usable_cores())
    if "auto" not in (config.engine, config.precision):
        return config
    if frame is not None:
        pipeline = build_pipeline(config)
        try:
            pipeline.process(frame)
        except FrameError:  # it says nothing of the others
            pass
        else:
            return with_engine_of(config, pipeline)
        finally:
            pipeline.close()
    engine = "torch" if config.engine == "auto" else config.engine
    precision = "fp32" if config.precision == "auto" else config.precision
    return replace(config, engine=engine, precision=precision)


def with_engine_of(config: PipelineConfig, pipeline: DepthPipeline) -> PipelineConfig:
    """Return a configuration with the engine that runs the network of a pipeline."""
    reports = pipeline.engine_reports()
    if not reports:
        return replace(config, engine="torch", precision="fp32")
    plan = reports[0].plan
    return replace(config, engine=plan.engine, precision=plan.precision)
