"""The built-in network with an encoder that has seen real photographs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.models.backbones.efficientnet_lite import EfficientNetLite, stages_of
from mono_depth.models.nano.net import DecoderStep, GlobalContext, HintNet, ResidualBlock

N_OUTPUTS = 3  # log depth, log of its expected error, logit of glass or mirror

_INPUT_RANGE = 0.5  # of what `normalise` gives to what the encoder was trained with
_TAPS = (0, 1, 2, 4, 6)  # stages whose maps are kept: at 1/2, 1/4, 1/8, 1/16 and 1/32
_RAY_TAPS = (2, 4, 6)  # stages behind which the rays are added
_DECODER_WIDTHS = (32, 48, 80, 128)  # at 1/2 ... 1/16
_DETAIL_CHANNELS = 12 + 2  # the four pixels of each cell of 1/2, and its ray
_FIRST_OUTPUT = (1.0, -1.5, -3.0)  # what is usual of each: the first steps need not find it


class NanoLiteNet(nn.Module):
    """Depth from an image, behind EfficientNet-Lite with the norms of its own training.

    The encoder sees the image alone; the rays are added to its maps at 1/8, 1/16 and 1/32. The last
    step of the decoder sees the pixels themselves, so that edges are where they are in the image.
    """

    def __init__(self, variant: int, *, has_hints: bool = True) -> None:
        """Make an untrained network.

        Args:
            variant: of EfficientNet-Lite, 0 to 3.
            has_hints: it has a network for hints; else it is for images alone.
        """
        super().__init__()
        self.variant = variant
        self.encoder = EfficientNetLite(variant)
        channels = [stages_of(variant)[tap].channels for tap in _TAPS]
        self.rays = nn.ModuleList(
            [nn.Conv2d(2, stages_of(variant)[tap].channels, 1) for tap in _RAY_TAPS]
        )
        self.context = GlobalContext(channels[-1])
        skips = (channels[0] + _DETAIL_CHANNELS, *channels[1:-1])
        coarse = (*_DECODER_WIDTHS[1:], channels[-1])
        self.up = nn.ModuleList(
            [DecoderStep(*shape) for shape in zip(coarse, skips, _DECODER_WIDTHS, strict=True)]
        )
        self.refine = nn.ModuleList([ResidualBlock(width, 2) for width in _DECODER_WIDTHS])
        self.head = nn.Conv2d(_DECODER_WIDTHS[0], N_OUTPUTS * 4, 3, 1, 1)
        with torch.no_grad():
            for parameter in self.rays.parameters():  # add nothing at first
                parameter.zero_()
            # the four sub-pixels of a head start equal: no chequerboard
            self.head.weight.copy_(self.head.weight[::4].repeat_interleave(4, 0))
            bias = torch.tensor(_FIRST_OUTPUT).repeat_interleave(4)
            self.head.bias.copy_(bias)  # type: ignore[union-attr]
        self.hints = HintNet() if has_hints else None

    def train(self, mode: bool = True) -> NanoLiteNet:
        """Set the mode of all but the encoder, whose norms stay those of its own training."""
        super().train(mode)
        self.encoder.eval()
        return self

    def features(self, image: torch.Tensor, rays: torch.Tensor) -> torch.Tensor:
        """Return (B, n, h / 2, w / 2); lower precision does little harm up to here."""
        x: torch.Tensor = self.encoder.stem(image * _INPUT_RANGE)
        half = F.avg_pool2d(rays, 2)
        maps = []
        for index, stage in enumerate(self.encoder.blocks):
            x = stage(x)
            if index in _RAY_TAPS:
                seen = F.avg_pool2d(rays, image.shape[3] // x.shape[3])
                x = x + self.rays[_RAY_TAPS.index(index)](seen)
            if index in _TAPS:
                maps.append(x)
        x = self.context(x)
        maps[0] = torch.cat((maps[0], F.pixel_unshuffle(image, 2), half), 1)
        steps = zip(reversed(self.up), reversed(self.refine), reversed(maps[:-1]), strict=True)
        for step, refine, skip in steps:
            x = refine(step(x, skip))
        return x

    def predict(self, features: torch.Tensor) -> torch.Tensor:
        """Turn `features` into the output, (B, 3, h, w)."""
        output: torch.Tensor = self.head(features)
        return F.pixel_shuffle(output, 2)

    def forward(self, image: torch.Tensor, rays: torch.Tensor) -> torch.Tensor:
        """Predict depth, its spread, and what is glass.

        Args:
            image: (B, 3, h, w) RGB as `normalise` gives it; h and w multiples of 32.
            rays: (B, 2, h, w) x/z and y/z of each pixel's viewing ray.

        Returns:
            (B, 3, h, w): as `NanoNet` gives them, log of the depth in metres at the canonical focal
            length and the log of its expected absolute error; and the logit of the probability
            that the pixel shows glass or a mirror.
        """
        return self.predict(self.features(image, rays))

    def freeze(self, stages: int) -> None:
        """Keep the norms of the encoder, its stem and its first `stages` stages from learning."""
        for module in self.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(requires_grad=False)
        if stages:
            self.encoder.conv_stem.requires_grad_(requires_grad=False)
        for stage in list(self.encoder.blocks)[:stages]:
            stage.requires_grad_(requires_grad=False)
