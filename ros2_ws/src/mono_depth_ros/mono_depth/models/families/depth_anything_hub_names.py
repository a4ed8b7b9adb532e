"""Parameter names of the `-hf` repositories of Depth Anything -> original."""

from __future__ import annotations

import re

import torch

from mono_depth.models.store.checkpoint import Tensors

# of transformers' DepthAnythingForDepthEstimation
_NAMES: tuple[tuple[str, str], ...] = (
    (r"backbone\.embeddings\.(cls_token|mask_token)", r"pretrained.\1"),
    (r"backbone\.embeddings\.position_embeddings", "pretrained.pos_embed"),
    (r"backbone\.embeddings\.patch_embeddings\.projection", "pretrained.patch_embed.proj"),
    (r"backbone\.encoder\.layer\.(\d+)\.(norm\d)", r"pretrained.blocks.\1.\2"),
    (r"backbone\.encoder\.layer\.(\d+)\.mlp\.(fc\d)", r"pretrained.blocks.\1.mlp.\2"),
    (
        r"backbone\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)",
        r"pretrained.blocks.\1.attn.\2",
    ),
    (
        r"backbone\.encoder\.layer\.(\d+)\.attention\.output\.dense",
        r"pretrained.blocks.\1.attn.proj",
    ),
    (
        r"backbone\.encoder\.layer\.(\d+)\.layer_scale(\d)\.lambda1",
        r"pretrained.blocks.\1.ls\2.gamma",
    ),
    (r"backbone\.layernorm", "pretrained.norm"),
    (r"neck\.reassemble_stage\.layers\.(\d)\.projection", r"depth_head.projects.\1"),
    (r"neck\.reassemble_stage\.layers\.(\d)\.resize", r"depth_head.resize_layers.\1"),
    (r"neck\.convs\.(\d)", r"depth_head.scratch.layer{up}_rn"),
    (
        r"neck\.fusion_stage\.layers\.(\d)\.projection",
        r"depth_head.scratch.refinenet{down}.out_conv",
    ),
    (
        r"neck\.fusion_stage\.layers\.(\d)\.residual_layer(\d)\.convolution(\d)",
        r"depth_head.scratch.refinenet{down}.resConfUnit\2.conv\3",
    ),
    (r"head\.conv1", "depth_head.scratch.output_conv1"),
    (r"head\.conv2", "depth_head.scratch.output_conv2.0"),
    (r"head\.conv3", "depth_head.scratch.output_conv2.2"),
)


def from_hub_layout(tensors: Tensors) -> Tensors:
    """Rename the tensors of a `-hf` file; a name that it does not know stays as it is."""
    renamed = {_original_name(name): tensor for name, tensor in tensors.items()}
    parts: dict[str, dict[str, torch.Tensor]] = {}
    result: Tensors = {}
    for name, tensor in renamed.items():
        match = re.fullmatch(r"(.*\.attn)\.(query|key|value)\.(weight|bias)", name)
        if match:
            parts.setdefault(f"{match[1]}.qkv.{match[3]}", {})[match[2]] = tensor
        else:
            result[name] = tensor
    for name, part in parts.items():
        if len(part) == 3:
            result[name] = torch.cat([part["query"], part["key"], part["value"]])
    return result


def _original_name(name: str) -> str:
    stem, dot, kind = name.rpartition(".")
    if kind not in ("weight", "bias"):
        stem, dot, kind = name, "", ""
    for pattern, replacement in _NAMES:
        match = re.fullmatch(pattern, stem)
        if match:
            original = match.expand(replacement)
            if "{" in original:  # the hub counts from 0, and fuses from the coarsest on
                index = int(match[1])
                original = original.format(up=index + 1, down=4 - index)
            return original + dot + kind
    return name
