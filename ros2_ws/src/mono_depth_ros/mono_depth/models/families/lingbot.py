"""LingBot-Depth: fills in and repairs a depth map with the help of the image.

Source: Robbyant, "Masked Depth Modeling for Spatial Perception", arXiv 2601.17895, 2026;
Robbyant/lingbot-depth `mdm/model` (47764da).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch
import torch.nn.functional as F

from mono_depth.data import OutputKind, Prediction
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.backbones.dinov2 import PATCH_PX
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import (
    FLOAT32_POSITIONS,
    GoldenCase,
    Numbers,
    built,
    check_rule,
    in_float64,
    read_golden,
    rule_image,
)
from mono_depth.models.checks.golden.tokens import enlarged, one_of, seen_image, spec_of
from mono_depth.models.families.lingbot_net import LingBotConfig, LingBotNet, is_value
from mono_depth.models.families.moge_description import described
from mono_depth.models.family import Family, LoadRequest, ModelRequest
from mono_depth.models.guessed_completion import GuessedCompletion
from mono_depth.models.network_model import NetworkModel
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import load_strictly, read_configured

_MASK_THRESHOLD = 0.5

_UNUSED = "normal_head."  # in the files, but in no network of the original
_EMBEDDING = "encoder.backbone.depth_patch_embed."
_EMBEDDING_IN_FILES = "encoder.backbone.depth_mask_patch_embed."

_GOLDEN = "lingbot_depth"  # file of numbers of the original
# of pseudo-random weights
_POSITIVE = ("encoder.image_std", "mask_head.output_blocks.4.bias")
_GOLDEN_POSITIVE = (*_POSITIVE, "depth_head.output_blocks.4.bias")


class LingBot(NetworkModel[LingBotNet]):
    """LingBot-Depth behind the `DepthCompleter` protocol.

    The original enlarges the logarithm of depth to the size of the image, bilinearly.
    """

    def __init__(
        self, net: LingBotNet, entry: ModelEntry, device: torch.device, sha256: str
    ) -> None:
        super().__init__(net, entry, device, sha256, step_px=PATCH_PX)

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> LingBot:
        """Load published weights.

        Args:
            entry: kind completion; variant names the size of the backbone.
            weights: `.pt` with `model_config` and `model`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        if entry.kind is not OutputKind.COMPLETION:
            raise ModelError(f"{entry.name}: kind {entry.kind.value}, not completion")
        tensors, values, found_sha256 = read_configured(weights, sha256)
        config = LingBotConfig.read(values, str(weights))
        if config.encoder.variant != entry.variant:
            found = f"a {config.encoder.variant} backbone"
            raise ModelError(f"{weights} has {found}, {entry.name} wants {entry.variant}")
        with torch.device("meta"):
            net = LingBotNet(config)
        load_strictly(net, with_our_names(tensors, str(weights)), str(weights))
        return cls(net, entry, device, found_sha256)

    def depth_size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the depth map that loses nothing on its way to the network."""
        return self._preprocess.spec.size_for(width, height)

    @torch.inference_mode()
    def complete(self, rgb: torch.Tensor, depth_m: torch.Tensor) -> Prediction:
        """Fill in and repair a depth map. See `DepthCompleter.complete`."""
        if depth_m.ndim != 2 or not depth_m.is_floating_point():
            raise FrameError(f"depth of shape {tuple(depth_m.shape)} {depth_m.dtype}, not (H, W)")
        image = self._preprocess(rgb)
        depth_m = depth_m.to(self.device, torch.float32)[None, None]
        output, mask = self.net(image, depth_m, rgb.shape[1] / rgb.shape[0])
        values = self.net.module.to_metres(output)[0, 0]
        was_hole = ~F.interpolate(is_value(depth_m).float(), values.shape, mode="nearest").bool()
        if mask is None:
            return Prediction(values=values, kind=self.kind, mask=was_hole[0, 0])
        probability = mask[0, 0].sigmoid()
        values = torch.where(probability > _MASK_THRESHOLD, values, torch.nan)
        return Prediction(
            values=values, kind=self.kind, confidence=probability, mask=was_hole[0, 0]
        )


def with_our_names(tensors: Tensors, source: str) -> Tensors:
    """Leave out what no network uses, and give the embedding of depth patches its one name.

    The published files name it `depth_mask_patch_embed`, the published code
    `depth_patch_embed`: the original then starts with a random one and says nothing.

    Raises:
        ModelError: the tensors have it under both names.
    """
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        if name.startswith(_UNUSED):
            continue
        ours = name.replace(_EMBEDDING_IN_FILES, _EMBEDDING, 1)
        if ours in renamed or (ours != name and ours in tensors):
            raise ModelError(f"{source} has {ours} under two names")
        renamed[ours] = tensor
    return renamed


def load(request: LoadRequest) -> GuessedCompletion:
    """Return the model behind one that guesses what it starts from."""
    entry = request.entry
    if request.completion.guess_model == entry.name:
        raise ModelError(f"completion.guess_model is {entry.name} itself")
    guess = request.load_guess(request.completion.guess_model)
    completer = LingBot.load(entry, request.weights, request.device, sha256=request.sha256)
    return GuessedCompletion(completer, guess, request.completion)


def make_random(request: ModelRequest) -> GuessedCompletion:
    """Return the model with pseudo-random weights; the one that guesses has its own."""
    entry = request.entry
    values = described(entry.variant, depth_head=1, mask_head=1) | {"remap_depth_in": "linear"}
    config = LingBotConfig.read(values, "the random weights")
    net = pseudo_random.filled(lambda: LingBotNet(config), _POSITIVE)
    completer = LingBot(net, entry, request.device, pseudo_random.SHA256)
    guess = request.load_guess(request.completion.guess_model)
    return GuessedCompletion(completer, guess, request.completion)


def golden_config() -> LingBotConfig:
    """Return the small network of the comparisons."""
    return LingBotConfig.read(read_golden(_GOLDEN)["model_config"], "the golden file")


def golden_weights() -> Tensors:
    """Return the weights that the original had in the comparisons."""
    shapes = pseudo_random.shapes_of(lambda: LingBotNet(golden_config()))
    return pseudo_random.fill(shapes, positive=_GOLDEN_POSITIVE)


def golden_depth(height: int, width: int, kind: str = "holes") -> torch.Tensor:
    """Return the (height, width) metres that the original was given: with holes, full or none."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    depth_m = 1 + ((3 * rows + 2 * columns) % 37) / 10
    if kind == "none":
        depth_m[:] = 0
    if kind == "holes":
        depth_m[height // 4 : height // 2, width // 8 : width // 2] = 0
        depth_m[:, -width // 5 :] = float("nan")
        depth_m[0, 0] = float("inf")
        depth_m[height // 2 :, :3] = 0.005
    return depth_m


def golden_cases(entry: ModelEntry) -> Iterator[GoldenCase]:
    """Yield the comparisons with the original: a small backbone and narrow heads."""
    golden = read_golden(_GOLDEN)
    values = check_rule(golden_weights(), golden)
    net = built(lambda: LingBotNet(golden_config()), values)
    for expected in golden["float64"]:
        size = "{}x{}".format(*expected["size"])
        outputs = cache(partial(_golden_network, net, values, expected))
        for index, name in enumerate(("metres", "mask")):
            yield GoldenCase(
                name=f"{name} of the network {size} in float64, depth: {expected['depth']}",
                expected=expected[name],
                tolerance=FLOAT32_POSITIONS,
                is_relative=True,
                compute=partial(one_of, outputs, index),
            )
    for expected in golden["float32"]:
        yield GoldenCase(
            name="metres completed, {}x{}".format(*expected["size"]),
            expected=expected["metres"],
            tolerance=1e-4,
            is_relative=True,
            compute=partial(_golden_metres, values, entry, expected),
        )


def _golden_network(
    net: LingBotNet, values: Tensors, expected: Numbers
) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = expected["size"]
    depth_m = golden_depth(height, width, expected["depth"]).double()[None, None]

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        output, mask = net(seen_image(expected), depth_m, width / height)
        return enlarged(output, expected).exp(), enlarged(mask, expected).sigmoid()

    return in_float64(net, values, run)


def _golden_metres(values: Tensors, entry: ModelEntry, expected: Numbers) -> torch.Tensor:
    bias = "mask_head.output_blocks.4.bias"
    everywhere = values | {bias: values[bias] + 100.0}  # no pixel without depth
    net = built(lambda: LingBotNet(golden_config()), everywhere)
    model = LingBot(net, replace(entry, input=spec_of(expected)), torch.device("cpu"), sha256="")
    size = expected["size"]
    metres = model.complete(rule_image(*size), golden_depth(*size)).values
    return enlarged(metres.log()[None, None], expected).exp()


FAMILY = Family(
    load=load,
    make_random=make_random,
    golden_cases=golden_cases,
    fp32_layers=r"(depth|mask)_head\.output_blocks",
)
