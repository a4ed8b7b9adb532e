"""Another model is loaded beside the one that runs, and takes its place or is given up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mono_depth.config import flatten, params
from mono_depth.errors import MonoDepthError
from mono_depth.pipeline.build import build_pipeline, warm_up
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.system.unused_memory import free_unused_memory
from mono_depth_ros.config import NodeConfig

_END_S = 10.0  # a load that nobody waits for any more may take this long to end

_LOG = logging.getLogger("mono_depth.model_swap")


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What became of one load: a pipeline that has run once, or why there is none."""

    config: NodeConfig
    pipeline: DepthPipeline | None = None
    problem: str = ""
    warm_up_ms: float = 0.0


def model_values(config: NodeConfig) -> Mapping[str, Any]:
    """Return the parameters that say which model is loaded, and how."""
    table = params(config)
    return {name: value for name, value in flatten(config).items() if table[name].reloads}


class ModelSwap:
    """Loads models on a thread of its own, one at a time; only the newest wish counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: NodeConfig | None = None  # being loaded, or next
        self._loaded: Loading | None = None
        self._thread: threading.Thread | None = None

    @property
    def wanted(self) -> str:
        """The model that is being loaded, "" = none."""
        wanted = self._wanted
        return "" if wanted is None else wanted.model

    @property
    def is_under_way(self) -> bool:
        """Whether something is being loaded, or was and has not been taken."""
        return self._wanted is not None or self._loaded is not None

    def request(self, config: NodeConfig) -> None:
        """Load the model of `config`, instead of what was asked for before."""
        with self._lock:
            newest = self._wanted
            if newest is None and self._loaded is not None:
                newest = self._loaded.config
            if newest is not None and model_values(newest) == model_values(config):
                return
            unused, self._loaded, self._wanted = self._loaded, None, config
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="model-swap", daemon=True)
                self._thread.start()
        _discard(unused)

    def cancel(self) -> None:
        """Give up what is being loaded, or was and has not been taken."""
        with self._lock:
            unused, self._loaded, self._wanted = self._loaded, None, None
        _discard(unused)

    def take(self) -> Loading | None:
        """Return what has been loaded, once; None = nothing yet."""
        with self._lock:
            loaded, self._loaded = self._loaded, None
        return loaded

    def close(self) -> None:
        """Give up what is being loaded and wait for its end."""
        self.cancel()
        thread = self._thread
        if thread is not None:
            thread.join(_END_S)

    def _run(self) -> None:
        while True:
            with self._lock:
                config = self._wanted
                if config is None:
                    self._thread = None
                    return
            loaded = _load(config)
            with self._lock:
                if self._wanted is config:
                    self._loaded, self._wanted, self._thread = loaded, None, None
                    return
            _discard(loaded)
            del loaded


def release(pipeline: DepthPipeline) -> None:
    """Free a pipeline that nothing uses any more, in the background: it may still build engines."""
    threading.Thread(target=_release, args=([pipeline],), name="model-release", daemon=True).start()


def _load(config: NodeConfig) -> Loading:
    try:
        pipeline = build_pipeline(config, is_live=True)
    except MonoDepthError as error:
        return Loading(config=config, problem=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is: the old model goes on
        _LOG.exception("%s could not be loaded", config.model)
        return Loading(config=config, problem=repr(error))
    try:
        return Loading(config=config, pipeline=pipeline, warm_up_ms=warm_up(pipeline))
    except Exception as error:  # noqa: BLE001 - as above
        if not isinstance(error, MonoDepthError):
            _LOG.exception("%s could not run", config.model)
        pipeline.close()
        return Loading(config=config, problem=str(error) or repr(error))


def _discard(loading: Loading | None) -> None:
    if loading is not None and loading.pipeline is not None:
        release(loading.pipeline)


def _release(handed_over: list[DepthPipeline]) -> None:
    """Take the pipeline out of its list, so that no caller keeps it alive."""
    handed_over.pop().close()
    free_unused_memory()
