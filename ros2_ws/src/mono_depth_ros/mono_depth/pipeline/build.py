"""Builds a pipeline from its configuration."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import torch

from mono_depth.config import PipelineConfig
from mono_depth.engines.engines import Engines
from mono_depth.engines.trial_images import trial_hints, trial_images
from mono_depth.errors import ConfigError
from mono_depth.models.loading import load_model
from mono_depth.models.protocol import GuidedModel
from mono_depth.models.store.untrusted_yaml import as_path
from mono_depth.pipeline.memory_fallback import Loaded, ModelLoader, Step, steps_for
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.scale.held_scale import HeldScales
from mono_depth.scale.kinds import check_source
from mono_depth.system.resources import weights_dir
from mono_depth.system.threads import on_one_thread


def build_pipeline(config: PipelineConfig, *, is_live: bool = False) -> DepthPipeline:
    """Load the model of `config` on its device, with its engines.

    Args:
        config: which model, where, and how.
        is_live: frames come from a camera and do not wait: engines are built here, for images of
            640x480, and beside the stream for other ones. Else with the first image of a size.
            And a scale that an earlier run measured is held until one is measured again.

    Raises:
        ConfigError: the device does not exist, or the model has not the scale asked for.
        ModelError: the model is unknown, its weights are missing or do not fit, or it needs
            more memory than there is.
    """
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    device = choose_device(config.device, config.engine)
    loader = ModelLoader(steps_for(device), partial(_load, config, device, is_live=is_live))
    pipeline = DepthPipeline.from_loader(loader, config)
    if is_live:
        pipeline.held_scales = HeldScales((_weights_folder(config) or weights_dir()) / "scales")
    return pipeline


def _weights_folder(config: PipelineConfig) -> Path | None:
    return as_path(config.weights_dir, "weights_dir") if config.weights_dir else None


def _load(config: PipelineConfig, configured: torch.device, step: Step, *, is_live: bool) -> Loaded:
    """Load the model and let it run once."""
    weights_folder = _weights_folder(config)
    is_elsewhere = step.device != configured  # where the engine asked for may not exist
    engines = Engines(
        engine="auto" if is_elsewhere else config.engine,
        precision="auto" if is_elsewhere else config.precision,
        device=step.device,
        threads=config.threads,
        weights_folder=weights_folder,
        is_live=is_live,
    )
    model = load_model(
        config.model,
        device=step.device,
        registry=Path(config.registry) if config.registry else None,
        weights_folder=weights_folder,
        allow_noncommercial=config.allow_noncommercial,
        input_size=config.input_size or None,
        shrink=step.shrink,
        threads=config.threads or None,
        completion=config.completion,
        engines=engines,
    )
    check_source(model.kind, config.scale)
    engines.prepare(model)
    return Loaded(model=model, engines=engines)


def choose_device(name: str, engine: str = "auto") -> torch.device:
    """Return the torch device of `name`: auto, cpu, cuda or cuda:N.

    Args:
        name: of the device; auto = a GPU if there is one that `engine` can use.
        engine: of the configuration.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        has_gpu = torch.cuda.is_available() and engine != "openvino"
        return torch.device("cuda" if has_gpu else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device = {name!r} is not one of auto, cpu, cuda, cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device = {name!r}, but torch finds no CUDA GPU; use auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device = {name!r}, but there are {torch.cuda.device_count()} GPUs")
    return device


@on_one_thread
def warm_up(pipeline: DepthPipeline, runs: int = 2) -> float:
    """Run the model on an image, so that the first camera frame is as fast as the others.

    Returns:
        Time of the last run [ms].
    """
    image = trial_images()[0]
    model, start_s = pipeline.model, time.perf_counter()
    rgb = torch.from_numpy(image).to(model.device)
    with torch.inference_mode():
        if isinstance(model, GuidedModel):  # what hints need has its first run as well
            model.infer_guided(rgb, *trial_hints(image))
        for _ in range(runs):
            start_s = time.perf_counter()
            model.infer(rgb, None).values.cpu()
    return (time.perf_counter() - start_s) * 1e3
