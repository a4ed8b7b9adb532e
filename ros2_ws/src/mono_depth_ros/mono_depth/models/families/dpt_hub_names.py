"""Parameter names of transformers' DPT (Intel/dpt-large, Intel/dpt-hybrid-midas) -> original."""

from __future__ import annotations

import re

import torch

from mono_depth.models.store.checkpoint import Tensors

_BLOCK = r"dpt\.encoder\.layer\.(\d+)\."
_STEM = r"dpt\.embeddings\.backbone\.bit\."
_NAMES: tuple[tuple[str, str], ...] = (
    (r"dpt\.embeddings\.cls_token", "pretrained.model.cls_token"),
    (r"dpt\.embeddings\.position_embeddings", "pretrained.model.pos_embed"),
    (
        r"dpt\.embeddings\.(?:patch_embeddings\.)?projection\.(.*)",
        r"pretrained.model.patch_embed.proj.\1",
    ),
    (_STEM + r"embedder\.convolution\.(.*)", r"pretrained.model.patch_embed.backbone.stem.conv.\1"),
    (_STEM + r"embedder\.norm\.(.*)", r"pretrained.model.patch_embed.backbone.stem.norm.\1"),
    (
        _STEM + r"encoder\.stages\.(\d)\.layers\.(.*)",
        r"pretrained.model.patch_embed.backbone.stages.\1.blocks.\2",
    ),
    (
        _BLOCK + r"attention\.attention\.(query|key|value)\.(.*)",
        r"pretrained.model.blocks.\1.attn.\2.\3",
    ),
    (_BLOCK + r"attention\.output\.dense\.(.*)", r"pretrained.model.blocks.\1.attn.proj.\2"),
    (_BLOCK + r"intermediate\.dense\.(.*)", r"pretrained.model.blocks.\1.mlp.fc1.\2"),
    (_BLOCK + r"output\.dense\.(.*)", r"pretrained.model.blocks.\1.mlp.fc2.\2"),
    (_BLOCK + r"layernorm_before\.(.*)", r"pretrained.model.blocks.\1.norm1.\2"),
    (_BLOCK + r"layernorm_after\.(.*)", r"pretrained.model.blocks.\1.norm2.\2"),
    (r"dpt\.layernorm\.(.*)", r"pretrained.model.norm.\1"),
    (r"head\.head\.(.*)", r"scratch.output_conv.\1"),
)
# Numbered parts; the hub counts from 0, and fuses from the coarsest on.
_NUMBERED: tuple[tuple[str, str], ...] = (
    (
        r"neck\.reassemble_stage\.readout_projects\.(\d)\.0\.(.*)",
        "pretrained.act_postprocess{up}.0.project.0.",
    ),
    (
        r"neck\.reassemble_stage\.layers\.(\d)\.projection\.(.*)",
        "pretrained.act_postprocess{up}.3.",
    ),
    (r"neck\.reassemble_stage\.layers\.(\d)\.resize\.(.*)", "pretrained.act_postprocess{up}.4."),
    (r"neck\.convs\.(\d)\.(.*)", "scratch.layer{up}_rn."),
    (r"neck\.fusion_stage\.layers\.(\d)\.projection\.(.*)", "scratch.refinenet{down}.out_conv."),
    (
        r"neck\.fusion_stage\.layers\.(\d)\.residual_layer(\d\.convolution\d\..*)",
        "scratch.refinenet{down}.resConfUnit",
    ),
)


def from_hub_layout(tensors: Tensors) -> Tensors:
    """Rename the tensors of a file of transformers; a name that it does not know stays."""
    renamed = {_original_name(name): tensor for name, tensor in tensors.items()}
    result: Tensors = {}
    for name, tensor in renamed.items():
        match = re.fullmatch(r"(.*\.attn\.)(query|key|value)(\..*)", name)
        if match is None:
            result[name] = tensor
        elif match[2] == "query":
            parts = [f"{match[1]}{part}{match[3]}" for part in ("query", "key", "value")]
            if all(part in renamed for part in parts):
                result[f"{match[1]}qkv{match[3]}"] = torch.cat([renamed[part] for part in parts])
    return result


def _original_name(name: str) -> str:
    for pattern, replacement in _NAMES:
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    for pattern, replacement in _NUMBERED:
        if match := re.fullmatch(pattern, name):
            index, rest = int(match[1]), match[2].replace("convolution", "conv")
            return replacement.format(up=index + 1, down=4 - index) + rest
    return name
