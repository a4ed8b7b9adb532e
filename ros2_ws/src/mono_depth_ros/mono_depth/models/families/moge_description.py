"""What the published files of MoGe-2 and LingBot-Depth say of their networks.

It is that of `configs/train/v2.json` in microsoft/MoGe (0744441), with the backbone and the width
of its tokens. It stands in for the files where there are none: with pseudo-random weights.
"""

from __future__ import annotations

from typing import Any

from mono_depth.models.backbones.dinov2 import VIT_SIZES


def described(variant: str, **heads: int) -> dict[str, Any]:
    """Return the description of a network with a backbone and heads of so many channels."""
    vit = VIT_SIZES[variant]
    widths = [vit.width, 256, 128, 64, 32]
    step = vit.depth // 4
    shared = {
        "res_block_in_norm": "none",
        "res_block_hidden_norm": "none",
        "resamplers": [*["conv_transpose"] * 3, "bilinear"],
        "dim_res_blocks": widths,
    }
    return {
        "encoder": {
            "backbone": f"dinov2_vit{variant[0]}14",
            "intermediate_layers": [step * index + step - 1 for index in range(4)],
            "dim_out": vit.width,
        },
        "neck": {
            **shared,
            "dim_in": [vit.width + 2, 2, 2, 2, 2],
            "dim_out": None,
            "num_res_blocks": [0, 2, 2, 2, 0],
        },
        **{
            name: {
                **shared,
                "dim_in": widths,
                "dim_out": [None, None, None, None, channels],
                "num_res_blocks": [0, 1, 1, 1, 0],
            }
            for name, channels in heads.items()
        },
    }
