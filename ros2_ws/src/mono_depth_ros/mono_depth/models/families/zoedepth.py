"""ZoeDepth N, K and NK: metres from the BEiT-L network of MiDaS 3.1.

N was trained on NYU (rooms), K on KITTI (roads), NK on both with a head for each.

Source: Bhat et al., "ZoeDepth: Zero-shot Transfer by Combining Relative and Metric Depth", 2023;
isl-org/ZoeDepth `zoedepth/models` (d87f17b).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.batch import check_batch, one_by_one
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import (
    GoldenCase,
    Numbers,
    built,
    check_rule,
    in_float64,
    noise,
    read_golden,
    rule_image,
)
from mono_depth.models.families.midas_dpt import golden_config, without_unused
from mono_depth.models.families.midas_dpt_net import DPT_CONFIGS, STRIDE_PX, DptConfig, prepared
from mono_depth.models.families.zoedepth_heads import MIN_DEPTH_M
from mono_depth.models.families.zoedepth_net import ZoeNet, ZoeNetNK
from mono_depth.models.family import Family, ModelRequest, from_file
from mono_depth.models.mirrored import MirrorAveraged
from mono_depth.models.preprocess import image_planes
from mono_depth.models.protocol import LoadedModel
from mono_depth.models.replaceable_net import ReplaceableNet
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.registry import ModelEntry, with_short_side
from mono_depth.models.store.weights import load_strictly, read_tensors

VARIANTS = ("n", "k", "nk")
BACKBONE = "beit_l_384"
_PAD_FACTOR = 3.0


class ZoeDepth:
    """ZoeDepth behind the `DepthModel` protocol.

    As the original does by default, it looks at the image with a mirrored border and cuts that
    off again, which takes a resize to the size of the image: so that is the size of its output.
    """

    def __init__(
        self, net: ZoeNet | ZoeNetNK, entry: ModelEntry, device: torch.device, sha256: str
    ) -> None:
        if entry.input is None:
            raise ModelError(f"the registry entry {entry.name} has no `input`")
        if entry.input.multiple_of % STRIDE_PX:
            raise ModelError(f"{entry.name}: input sizes must be multiples of {STRIDE_PX}")
        self.name = entry.name
        self.kind: OutputKind = entry.kind
        self.device = device
        self.weights_sha256 = sha256
        self.scale_sigma_rel = entry.scale_sigma_rel
        prepared(net.core.core)
        self.net = ReplaceableNet(net.eval().requires_grad_(False).to(device))
        self._spec = entry.input
        self._mean = torch.tensor(entry.input.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(entry.input.std, device=device).view(1, 3, 1, 1)

    @property
    def networks(self) -> Sequence[ReplaceableNet[ZoeNet | ZoeNetNK]]:
        """See `HasNetworks.networks`."""
        return (self.net,)

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> ZoeDepth:
        """Load published weights.

        Args:
            entry: variant n, k or nk, kind metric; k needs `max_depth_m`, the others have none.
            weights: `.pt` with the tensors under `model`, or `.safetensors`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        with torch.device("meta"):
            net = _checked_net(entry)
        tensors, found_sha256 = read_tensors(weights, sha256, part="model")
        tensors = {
            name: tensor
            for name, tensor in without_unused(tensors).items()
            if not _CONSTANT.fullmatch(name)
        }
        load_strictly(net, tensors, str(weights))
        return cls(net, entry, device, found_sha256)

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        del intrinsics
        (prediction,) = self._predict(self._input(rgb), rgb.shape[:2])
        return prediction

    @torch.inference_mode()
    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Predict depth for several images. See `DepthModel.infer_batch`.

        NK chooses one head for all that it sees at a time, so it sees one image at a time.
        """
        if isinstance(self.net.module, ZoeNetNK):
            return one_by_one(self.infer, rgb, intrinsics)
        check_batch(rgb, intrinsics)
        return self._predict(torch.cat([self._input(image) for image in rgb]), rgb.shape[1:3])

    def _input(self, rgb: torch.Tensor) -> torch.Tensor:
        """Return the (1, 3, h, w) input of the network for an image."""
        planes = image_planes(rgb, self.device) / 255.0
        pad_y, pad_x = _border(*rgb.shape[:2])
        planes = F.pad(planes, (pad_x, pad_x, pad_y, pad_y), mode="reflect")
        net_width, net_height = self._spec.size_for(planes.shape[3], planes.shape[2])
        planes = F.interpolate(planes, (net_height, net_width), mode="bilinear", align_corners=True)
        return (planes - self._mean) / self._std

    def _predict(self, images: torch.Tensor, size: Sequence[int]) -> list[Prediction]:
        height, width = size
        pad_y, pad_x = _border(height, width)
        padded = (height + 2 * pad_y, width + 2 * pad_x)
        depth_m = self.net(images)[:, None]
        depth_m = F.interpolate(depth_m, padded, mode="bicubic", align_corners=False)
        depth_m = depth_m[:, 0, pad_y : pad_y + height, pad_x : pad_x + width]
        # cubic interpolation can overshoot
        values_m = depth_m.float().clamp(min=MIN_DEPTH_M)
        return [Prediction(values=values, kind=self.kind) for values in values_m]


def _border(height: int, width: int) -> tuple[int, int]:
    """Return how many pixels are mirrored above and below, and on the left and right."""
    pad_y, pad_x = (int(math.sqrt(side / 2) * _PAD_FACTOR) for side in (height, width))
    if pad_y >= height or pad_x >= width:
        raise FrameError(f"image of {width}x{height} pixels, expected 5x5 or more")
    return pad_y, pad_x


# The files also hold the numbers 0 to 63 and the number 63.
_CONSTANT = re.compile(r"conditional_log_binomial\..*log_binomial_transform\.(k_idx|K_minus_1)")


def _checked_net(entry: ModelEntry) -> ZoeNet | ZoeNetNK:
    """Return the network that `entry` describes, if there is such a one."""
    if entry.variant not in VARIANTS:
        known = ", ".join(VARIANTS)
        raise ModelError(f"{entry.name}: variant {entry.variant!r} is not one of {known}")
    if entry.kind is not OutputKind.METRIC:
        raise ModelError(f"{entry.name}: kind {entry.kind.value}, not metric")
    if (entry.variant == "k") != (entry.max_depth_m is not None):
        raise ModelError(f"{entry.name}: variant k needs max_depth_m, n and nk have none")
    return make_net(entry.variant, DPT_CONFIGS[BACKBONE], entry.max_depth_m)


def make_net(variant: str, config: DptConfig, max_depth_m: float | None) -> ZoeNet | ZoeNetNK:
    """Return the network of `variant` on a backbone; `max_depth_m` is that of K."""
    return ZoeNetNK(config) if variant == "nk" else ZoeNet(max_depth_m, config)


def make_random(request: ModelRequest) -> ZoeDepth:
    """Return the model with pseudo-random weights."""
    entry = request.entry
    config = DPT_CONFIGS[BACKBONE]
    net = pseudo_random.filled(lambda: make_net(entry.variant, config, entry.max_depth_m))
    return ZoeDepth(net, entry, request.device, pseudo_random.SHA256)


LAST_BIAS = "core.core.scratch.output_conv.4.bias"
_GOLDEN_SHORT_SIDE = 64
_GOLDEN_MAX_DEPTH_M = 80.0  # of K


def golden_net(variant: str, config: DptConfig) -> ZoeNet | ZoeNetNK:
    """Return the network of `variant` on a backbone, as in the comparisons."""
    return make_net(variant, config, _GOLDEN_MAX_DEPTH_M if variant == "k" else None)


def golden_weights(variant: str) -> Tensors:
    """Return the weights that the original had in the comparisons."""
    make = partial(golden_net, variant, golden_config(BACKBONE))
    return pseudo_random.fill(pseudo_random.shapes_of(make), positive=[LAST_BIAS])


def golden_cases(entry: ModelEntry) -> Iterator[GoldenCase]:
    """Yield the comparisons with the original for the variant of `entry`: four blocks of it.

    Of nk with the head for each domain.
    """
    golden = read_golden("zoedepth")
    values = check_rule(golden_weights(entry.variant), golden[entry.variant])
    yield from _golden_of(entry, golden[entry.variant], values, "")
    if entry.variant == "nk":
        indoor = values | {"mlp_classifier.2.bias": torch.tensor([10.0, -10.0])}
        yield from _golden_of(entry, golden["nk_nyu"], indoor, ", indoors")


def _golden_of(
    entry: ModelEntry, golden: Numbers, values: Tensors, where: str
) -> Iterator[GoldenCase]:
    for expected in golden["network_float64"]:
        yield GoldenCase(
            name="network {}x{} in float64".format(*expected["size"]) + where,
            expected=expected,
            tolerance=1e-9,
            compute=partial(_golden_network, entry.variant, values, expected["size"]),
        )
    for expected in golden["image_float32"]:
        look = ", with its mirror image" if expected["flip"] else ""
        yield GoldenCase(
            name="image {}x{}".format(*expected["image"]) + look + where,
            expected=expected,
            tolerance=1e-3,  # of a spread of some 3 % of the values
            compute=partial(_golden_image, entry, values, expected),
        )


def _golden_network(variant: str, values: Tensors, size: list[int]) -> torch.Tensor:
    net = built(lambda: golden_net(variant, golden_config(BACKBONE)), values)
    image = noise(size[0], size[1], 0.0, 1.0).double()
    output: torch.Tensor = in_float64(net, values, lambda: net((image - 0.5) / 0.5))
    return output


def _golden_image(entry: ModelEntry, values: Tensors, expected: Numbers) -> torch.Tensor:
    entry = with_short_side(entry, _GOLDEN_SHORT_SIDE)
    net = built(partial(golden_net, entry.variant, golden_config(BACKBONE)), values)
    model: LoadedModel = ZoeDepth(net, entry, torch.device("cpu"), sha256="")
    if expected["flip"]:
        model = MirrorAveraged(model)
    return model.infer(rule_image(*expected["image"]), None).values


FAMILY = Family(
    load=from_file(ZoeDepth.load),
    make_random=make_random,
    golden_cases=golden_cases,
    fp32_layers=r"conditional_log_binomial|attractors|seed_bin_regressors?",
)
