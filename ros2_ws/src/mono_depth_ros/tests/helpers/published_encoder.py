"""Weights of EfficientNet-Lite under the names of the published files."""

from __future__ import annotations

import torch

from mono_depth.models.backbones.efficientnet_lite import EfficientNetLite, stages_of

THEIR_LAYERS = {
    "conv_dw": "_depthwise_conv",
    "conv_pwl": "_project_conv",
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "bn2": "_bn1",
    "bn3": "_bn2",
}


def published(encoder: EfficientNetLite, variant: int) -> dict[str, torch.Tensor]:
    """Return the tensors under the names of the published files, with the classifier's."""
    places = [(s, b) for s, stage in enumerate(stages_of(variant)) for b in range(stage.blocks)]
    numbers = {place: number for number, place in enumerate(places)}
    found = {}
    for name, tensor in encoder.state_dict().items():
        parts = name.split(".")
        if parts[0] != "blocks":
            found[{"conv_stem": "_conv_stem", "bn1": "_bn0"}[parts[0]] + "." + parts[1]] = tensor
            continue
        stage, block, layer, rest = int(parts[1]), int(parts[2]), parts[3], parts[4]
        theirs = THEIR_LAYERS[layer]
        if stage == 0:
            theirs = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv",
                      "bn2": "_bn2"}[layer]  # fmt: skip
        found[f"_blocks.{numbers[stage, block]}.{theirs}.{rest}"] = tensor
    channels = stages_of(variant)[-1].channels
    found["_conv_head.weight"] = torch.zeros(4, channels, 1, 1)
    found["_fc.bias"] = torch.zeros(1000)
    found["_bn1.weight"] = torch.ones(4)
    return found
