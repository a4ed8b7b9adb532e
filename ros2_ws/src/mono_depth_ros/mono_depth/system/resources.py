"""Where the files that ship beside the code live: registry, weights, configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_MARKER = Path("models") / "registry.yaml"


def share_dir() -> Path:
    """Return the folder that holds `models/`, `config/` and `launch/`.

    That is the package folder in a source tree (or `colcon build --symlink-install`),
    else `<prefix>/share/mono_depth_ros` of the installation this module is part of.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    module = Path(__file__).resolve()
    candidates = [module.parents[2]]
    prefixes = [*module.parents, Path(sys.prefix)]
    candidates += [prefix / "share" / "mono_depth_ros" for prefix in prefixes]
    for folder in candidates:
        if (folder / _MARKER).is_file():
            return folder
    raise FileNotFoundError(f"no {_MARKER} beside {module} or in share/mono_depth_ros of a prefix")


def weights_dir() -> Path:
    """Return the folder of downloaded weights.

    `MONO_DEPTH_WEIGHTS` if set, else `$XDG_CACHE_HOME/mono_depth`, else `~/.cache/mono_depth`.
    """
    chosen = os.environ.get("MONO_DEPTH_WEIGHTS")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "mono_depth"
