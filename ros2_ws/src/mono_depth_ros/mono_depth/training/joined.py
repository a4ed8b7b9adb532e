"""Join the network for images of one weights file with the network for hints of another.

What uses hints sees the image and what the other network says of it, not its features: it works
behind any. How well, `nano_hints_table` tells.
"""

from __future__ import annotations

from pathlib import Path

from mono_depth.errors import ConfigError
from mono_depth.models.nano.architecture import encoder_of, make_net
from mono_depth.models.nano.weights import read_net, read_record, save_weights


def join(image: Path, hints: Path, out: Path) -> None:
    """Write both networks to one file, with the records of both.

    Args:
        image: weights file whose network for images is taken.
        hints: weights file whose network for hints is taken.
        out: safetensors file to write.

    Raises:
        ConfigError: `hints` knows no hints.
        ModelError: a file is missing, damaged, or of another network.
    """
    first, second = read_net(image)[0], read_net(hints)[0]
    if second.hints is None:
        raise ConfigError(f"{hints} knows no hints")
    net = make_net(encoder_of(first))
    learned = {f"hints.{name}": value for name, value in second.hints.state_dict().items()}
    net.load_state_dict({**first.state_dict(), **learned})
    save_weights(net, out, {"image": read_record(image), "hints": read_record(hints)})
