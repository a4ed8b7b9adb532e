"""MoGe-2: metric depth of any camera, from points.

Parameters carry the published names. Source: Wang et al., "MoGe-2: Accurate Monocular Geometry
with Metric Scale and Sharp Details", NeurIPS 2025; microsoft/MoGe `moge/model/v2.py` (0744441).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch
import torch.nn.functional as F

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import PATCH_PX, VIT_SIZES
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
from mono_depth.models.families.moge_description import described
from mono_depth.models.families.moge_encoder import view_plane
from mono_depth.models.families.moge_net import MogeConfig, MogeNet
from mono_depth.models.families.point_map import shift_of
from mono_depth.models.family import Family, ModelRequest, from_file
from mono_depth.models.network_model import ImageModel
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import load_strictly, read_configured

_MASK_THRESHOLD = 0.5
_SAMPLES = 64  # rows and columns of pixels that the shift is found from
_UNUSED = "normal_head."  # surface normals, which depth does not need
_GOLDEN = "moge2"  # file of numbers of the original
_POSITIVE = ("mask_head.output_blocks.4.bias", "encoder.image_std")  # of pseudo-random weights


class Moge(ImageModel[MogeNet]):
    """MoGe-2 behind the `DepthModel` protocol.

    With intrinsics the depth is that of a camera with their focal length, else that of the camera
    that fits the points best. The axis is taken to meet the image in its middle, as in training.

    The original enlarges the output of the network to the size of the image, bilinearly, before
    it makes points of it. Here that is done only for the pixels that say how far the points are.
    It also stops looking for the shift sooner, which leaves its depth some 0.1 % from the best one.
    """

    def __init__(self, net: MogeNet, entry: ModelEntry, device: torch.device, sha256: str) -> None:
        super().__init__(net, entry, device, sha256, step_px=PATCH_PX)

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> Moge:
        """Load published weights.

        Args:
            entry: kind metric; variant names the size of the backbone: small, base or large.
            weights: `.pt` with `model_config` and `model`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        if entry.kind is not OutputKind.METRIC:
            raise ModelError(f"{entry.name}: kind {entry.kind.value}, not metric")
        tensors, values, found_sha256 = read_configured(weights, sha256)
        config = MogeConfig.read(values, str(weights))
        if config.encoder.variant != entry.variant:
            found = f"a {config.encoder.variant} backbone"
            raise ModelError(f"{weights} has {found}, {entry.name} wants {entry.variant}")
        with torch.device("meta"):
            net = MogeNet(config)
        used = {name: value for name, value in tensors.items() if not name.startswith(_UNUSED)}
        load_strictly(net, used, str(weights))
        return cls(net, entry, device, found_sha256)

    def _predict(
        self, images: torch.Tensor, size: Sequence[int], cameras: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        height, width = size
        output, mask, scale_m = self.net(images, width / height)
        predictions = []
        for index, camera in enumerate(cameras):  # the shift is another for each image
            one = slice(index, index + 1)
            shift = self._shift(output[one], mask[one], height, width, camera)
            depth = self.net.module.remapped(output[one])[0, 2] + shift.float()
            probability = mask[index, 0].sigmoid()
            is_known = (probability > _MASK_THRESHOLD) & (depth > 0.0)
            predictions.append(
                Prediction(
                    values=torch.where(is_known, depth * scale_m[one], torch.nan),
                    kind=self.kind,
                    confidence=probability,
                )
            )
        return predictions

    def _shift(
        self,
        output: torch.Tensor,
        mask: torch.Tensor,
        height: int,
        width: int,
        intrinsics: Intrinsics | None,
    ) -> torch.Tensor:
        """Find how far the points are, from 64x64 pixels of the image."""
        rows = torch.arange(_SAMPLES, device=output.device) * height // _SAMPLES
        columns = torch.arange(_SAMPLES, device=output.device) * width // _SAMPLES
        places = torch.stack(
            torch.meshgrid(
                (2 * columns + 1) / width - 1.0, (2 * rows + 1) / height - 1.0, indexing="xy"
            ),
            dim=-1,
        )
        both = torch.cat([output, mask], dim=1)
        samples = F.grid_sample(
            both, places[None].to(both.dtype), padding_mode="border", align_corners=False
        )
        points = self.net.module.remapped(samples[:, :3])[0].flatten(1).T
        uv = view_plane(height, width, width / height, points.dtype, points.device)
        uv = uv[0][:, rows[:, None], columns].flatten(1).T
        focal = None if intrinsics is None else _focal_in_half_diagonals(intrinsics)
        is_valid = samples[0, 3].flatten().sigmoid() > _MASK_THRESHOLD
        return shift_of(points, uv, is_valid, focal)


def _focal_in_half_diagonals(camera: Intrinsics) -> float:
    return camera.fx / (0.5 * math.hypot(camera.width, camera.height))


def make_random(request: ModelRequest) -> Moge:
    """Return the model with pseudo-random weights."""
    variant = request.entry.variant
    width = VIT_SIZES[variant].width
    values = described(variant, points_head=3, mask_head=1)
    values |= {"scale_head": {"dims": [width, width, width, 1]}, "remap_output": "exp"}
    config = MogeConfig.read(values, "the random weights")
    net = pseudo_random.filled(lambda: MogeNet(config), _POSITIVE)
    return Moge(net, request.entry, request.device, pseudo_random.SHA256)


def golden_config() -> MogeConfig:
    """Return the small network of the comparisons."""
    return MogeConfig.read(read_golden(_GOLDEN)["model_config"], "the golden file")


def golden_weights() -> Tensors:
    """Return the weights that the original had: points lie near the rays of their pixels."""
    values = pseudo_random.fill(
        pseudo_random.shapes_of(lambda: MogeNet(golden_config())), positive=_POSITIVE
    )
    values["points_head.output_blocks.4.weight"] *= 0.1
    for i in (0, 1):
        values["neck.input_blocks.4.weight"][i, i, 0, 0] += 100.0
        values["points_head.input_blocks.4.weight"][i, i, 0, 0] += 1.0
        values["points_head.output_blocks.4.weight"][i, i, 0, 0] += 0.1
    return values


def golden_camera(expected: Numbers) -> Intrinsics | None:
    """Return the camera that the original was given in the comparisons."""
    if expected["fov_x_deg"] is None:
        return None
    height, width = expected["size"]
    focal = width / 2 / math.tan(math.radians(expected["fov_x_deg"]) / 2)
    middle = {"cx": (width - 1) / 2, "cy": (height - 1) / 2}
    return Intrinsics(width=width, height=height, fx=focal, fy=focal, **middle)


def golden_cases(entry: ModelEntry) -> Iterator[GoldenCase]:
    """Yield the comparisons with the original: a small backbone and narrow heads."""
    golden = read_golden(_GOLDEN)
    values = check_rule(golden_weights(), golden)
    net = built(lambda: MogeNet(golden_config()), values)
    for expected in golden["float64"]:
        size = "{}x{}".format(*expected["size"])
        outputs = cache(partial(_golden_network, net, values, expected))
        for index, name in enumerate(("points", "mask")):
            yield GoldenCase(
                name=f"{name} of the network {size} in float64",
                expected=expected[name],
                tolerance=FLOAT32_POSITIONS,
                compute=partial(one_of, outputs, index),
            )
    for expected in golden["float32"]:
        seen = spec_of(expected)
        if 7 * expected["size"][0] != 4 * 2 * seen.height:  # else metres are not at pixels
            continue
        view = "unknown camera" if expected["fov_x_deg"] is None else "known camera"
        yield GoldenCase(
            name="metres of {}x{}, {}".format(*expected["size"], view),
            expected=expected["metres"],
            tolerance=1e-4,
            compute=partial(_golden_metres, net, entry, expected),
        )


def _golden_network(
    net: MogeNet, values: Tensors, expected: Numbers
) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = expected["size"]

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        output, mask, _ = net(seen_image(expected), width / height)
        points = net.remapped(enlarged(output, expected)).permute(0, 2, 3, 1)
        return points, enlarged(mask, expected).sigmoid()

    return in_float64(net, values, run)


def _golden_metres(net: MogeNet, entry: ModelEntry, expected: Numbers) -> torch.Tensor:
    entry = replace(entry, input=spec_of(expected))
    model = Moge(net, entry, torch.device("cpu"), sha256="")
    prediction = model.infer(rule_image(*expected["size"]), golden_camera(expected))
    return prediction.values.nan_to_num(0.0)


FAMILY = Family(
    load=from_file(Moge.load),
    make_random=make_random,
    golden_cases=golden_cases,
    fp32_layers=r"scale_head|(points|mask)_head\.output_blocks",
)
