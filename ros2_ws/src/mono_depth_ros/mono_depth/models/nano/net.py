"""Architecture of the built-in depth network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

N_EVIDENCE = 6  # channels of what `HintNet` is told beside the image, see nano_hints.evidence


class ConvNorm(nn.Sequential):
    """Convolution and batch norm, which `fold_batch_norms` turns into one convolution."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(n_out),
        )


class ResidualBlock(nn.Module):
    """Look around with a 5x5 depthwise convolution, then mix channels."""

    def __init__(self, channels: int, expansion: int = 3) -> None:
        super().__init__()
        self.spatial = ConvNorm(channels, channels, 5, groups=channels)
        self.expand = ConvNorm(channels, channels * expansion, 1)
        self.project = ConvNorm(channels * expansion, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        residual: torch.Tensor = self.project(F.relu(self.expand(self.spatial(x))))
        return x + residual


class GlobalContext(nn.Module):
    """Add to every pixel what the whole image says."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 2, 1)
        self.excite = nn.Conv2d(channels // 2, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        context: torch.Tensor = self.excite(F.relu(self.squeeze(mean)))
        return x + context


class DecoderStep(nn.Module):
    """Double the resolution and take in the encoder's features of that resolution."""

    def __init__(self, n_coarse: int, n_skip: int, n_out: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(n_coarse, n_out, 1)
        self.skip = nn.Conv2d(n_skip, n_out, 1)
        self.spatial = ConvNorm(n_out, n_out, 5, groups=n_out)
        self.mix = ConvNorm(n_out, n_out, 1)

    def forward(self, coarse: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Return features at the resolution of `skip`."""
        up = F.interpolate(self.coarse(coarse), scale_factor=2.0, mode="bilinear")
        mixed: torch.Tensor = self.mix(self.spatial(F.relu(up + self.skip(skip))))
        return F.relu(mixed)


class EncoderDecoder(nn.Module):
    """Convolutional encoder and decoder; sides in multiples of 32, some values for each pixel."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        widths: tuple[int, ...],
        depths: tuple[int, ...],
        decoder_widths: tuple[int, ...],
    ) -> None:
        """Make an untrained network.

        Args:
            n_in: channels of the input.
            n_out: channels of the output.
            widths: channels at 1/2, 1/4 ... 1/32 of the input.
            depths: residual blocks there.
            decoder_widths: channels of the decoder at 1/2 ... 1/16.
        """
        super().__init__()
        pairs = list(zip((n_in, *widths[:-1]), widths, strict=True))
        self.down = nn.ModuleList([ConvNorm(a, b, 3, stride=2) for a, b in pairs])
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(*[ResidualBlock(width) for _ in range(depth)])
                for width, depth in zip(widths, depths, strict=True)
            ]
        )
        self.context = GlobalContext(widths[-1])
        coarse = (*decoder_widths[1:], widths[-1])
        self.up = nn.ModuleList(
            [
                DecoderStep(*channels)
                for channels in zip(coarse, widths[:-1], decoder_widths, strict=True)
            ]
        )
        self.head = nn.Conv2d(decoder_widths[0], n_out * 4, 3, 1, 1)
        with torch.no_grad():  # the four sub-pixels of a head start equal: no chequerboard
            self.head.weight.copy_(self.head.weight[::4].repeat_interleave(4, 0))
            self.head.bias.zero_()  # type: ignore[union-attr]

    def features(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return (B, n, h / 2, w / 2); lower precision does little harm up to here."""
        x: torch.Tensor = torch.cat(inputs, 1)
        features = []
        for down, blocks in zip(self.down, self.blocks, strict=True):
            x = blocks(F.relu(down(x)))
            features.append(x)
        x = self.context(x)
        for step, skip in zip(reversed(self.up), reversed(features[:-1]), strict=True):
            x = step(x, skip)
        return x

    def predict(self, features: torch.Tensor) -> torch.Tensor:
        """Turn `features` into the output, (B, n_out, h, w)."""
        output: torch.Tensor = self.head(features)
        return F.pixel_shuffle(output, 2)


class HintNet(EncoderDecoder):
    """Rates depth that already agrees with what is known, and sees where the ground is.

    0.3 M parameters. Before training it says nothing.
    """

    def __init__(self) -> None:
        super().__init__(
            n_in=5 + N_EVIDENCE,
            n_out=2,
            widths=(16, 32, 48, 64, 96),
            depths=(0, 1, 1, 2, 2),
            decoder_widths=(24, 32, 48, 64),
        )
        with torch.no_grad():
            self.head.weight.zero_()

    def forward(
        self, image: torch.Tensor, rays: torch.Tensor, evidence: torch.Tensor
    ) -> torch.Tensor:
        """Predict how wrong the depth is, and what of it is ground.

        Args:
            image: (B, 3, h, w) as `NanoNet` takes it.
            rays: (B, 2, h, w) as `NanoNet` takes them.
            evidence: (B, 6, h, w) as `nano_hints.evidence` gives it.

        Returns:
            (B, 2, h, w): what to add to the log of the expected error, and how much each pixel
            looks like level ground, see `nano_hints.with_hints`.
        """
        return self.predict(self.features(image, rays, evidence))


class NanoNet(EncoderDecoder):
    """Depth from an image; 2.5 M parameters without `hints`."""

    def __init__(self, *, has_hints: bool = True) -> None:
        """Make an untrained network.

        Args:
            has_hints: it has a network for hints; else it is for images alone.
        """
        super().__init__(
            n_in=5,
            n_out=2,
            widths=(24, 40, 80, 160, 224),
            depths=(0, 1, 3, 5, 3),
            decoder_widths=(32, 48, 64, 96),
        )
        self.hints = HintNet() if has_hints else None

    def forward(self, image: torch.Tensor, rays: torch.Tensor) -> torch.Tensor:
        """Predict depth and its spread.

        Args:
            image: (B, 3, h, w) RGB as `normalise` gives it; h and w multiples of 32.
            rays: (B, 2, h, w) x/z and y/z of each pixel's viewing ray.

        Returns:
            (B, 2, h, w): log of the depth in metres at the canonical focal length, and the log of
            its expected absolute error (in log depth, after the scale of the image is aligned).
        """
        return self.predict(self.features(image, rays))
