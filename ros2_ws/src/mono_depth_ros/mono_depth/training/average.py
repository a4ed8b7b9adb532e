"""Average the weights of several runs.

Runs that start from the same weights end in the same valley of the loss, and their mean lies nearer
to its floor than each of them. Runs that start from nothing have nothing in common: their mean is
of no use.

Source: Wortsman et al., "Model soups", ICML 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mono_depth.errors import ConfigError
from mono_depth.models.nano.weights import read_net, read_record, save_weights


def average(files: Sequence[Path], out: Path) -> None:
    """Write the mean of the weights of runs, with the records of all of them.

    Raises:
        ConfigError: they are fewer than two, or did not start from the same weights, or only some
            of them know hints.
    """
    records = [read_record(file) for file in files]
    starts = {str(record.get("start_sha256", "")) for record in records}
    if len(files) < 2 or len(starts) != 1 or starts == {""}:
        raise ConfigError(
            f"{len(files)} files that started from {len(starts)} weights: expected two or more "
            "runs with the same --start"
        )
    nets = [read_net(file)[0] for file in files]
    if len({net.hints is None for net in nets}) > 1:
        raise ConfigError("some of the files know hints and some do not: they have no mean")
    states = [net.state_dict() for net in nets]
    mean = {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }
    nets[0].load_state_dict(mean)
    save_weights(nets[0], out, {"average_of": records})
