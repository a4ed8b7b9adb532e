"""Builds a pipeline from its configuration."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from mono_depth.config import PipelineConfig
from mono_depth.errors import ConfigError
from mono_depth.models import load_model
from mono_depth.pipeline import DepthPipeline
from mono_depth.scale import check_source

_WARM_UP_SIZE = (480, 640)


def build_pipeline(config: PipelineConfig) -> DepthPipeline:
    """Load the model of `config` on its device.

    Raises:
        ConfigError: the device does not exist, or the model has not the scale asked for.
        ModelError: the model is unknown, its weights are missing or do not fit.
    """
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    model = load_model(
        config.model,
        device=choose_device(config.device),
        registry=Path(config.registry) if config.registry else None,
        weights_folder=Path(config.weights_dir) if config.weights_dir else None,
        allow_noncommercial=config.allow_noncommercial,
        input_size=config.input_size or None,
        threads=config.threads or None,
        completion=config.completion,
    )
    check_source(model.kind, config.scale)
    return DepthPipeline(model, config)


def choose_device(name: str) -> torch.device:
    """Return the torch device of `name`: auto, cpu, cuda or cuda:N.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device = {name!r} is not one of auto, cpu, cuda, cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device = {name!r}, but torch finds no CUDA GPU; use auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device = {name!r}, but there are {torch.cuda.device_count()} GPUs")
    return device


def warm_up(pipeline: DepthPipeline, runs: int = 2) -> float:
    """Run the model on noise, so that the first camera frame is as fast as the others.

    Returns:
        Time of the last run [ms].
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (*_WARM_UP_SIZE, 3), generator=generator, dtype=torch.uint8)
    noise = noise.to(pipeline.model.device)
    start_s = time.perf_counter()
    for _ in range(runs):
        start_s = time.perf_counter()
        with torch.inference_mode():
            pipeline.model.infer(noise, None).values.cpu()
    return (time.perf_counter() - start_s) * 1e3
