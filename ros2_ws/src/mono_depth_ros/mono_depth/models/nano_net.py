"""Architecture of the built-in depth network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvNorm(nn.Sequential):
    """Convolution and batch norm, which `fold_batch_norm` turns into one convolution."""

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


class HintEncoder(nn.Module):
    """Features of what is known of the depth, to add to those of the image at each level.

    Without bias and norm: where nothing is known it adds exactly nothing. Before training its
    last layers are zero, so it adds nothing at all.
    """

    n_channels = 4  # see nano_hints.hint_channels
    widths = (16, 32, 48, 64, 96)  # channels at 1/2 ... 1/32

    def __init__(self, n_outs: tuple[int, ...]) -> None:
        super().__init__()
        sources = (self.n_channels, *self.widths[:-1])
        pairs = list(zip(sources, self.widths, strict=True))
        self.down = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1, bias=False) for a, b in pairs])
        self.mix = nn.ModuleList([nn.Conv2d(n, n, 3, 1, 1, bias=False) for n in self.widths[1:]])
        outs = list(zip(self.widths, n_outs, strict=True))
        self.inject = nn.ModuleList([nn.Conv2d(a, b, 1, bias=False) for a, b in outs])
        with torch.no_grad():
            for weight in self.inject.parameters():
                weight.zero_()

    def forward(self, hints: torch.Tensor) -> list[torch.Tensor]:
        """Return what to add at 1/2, 1/4 ... 1/32 of the input."""
        x, added = hints, []
        for level, (down, inject) in enumerate(zip(self.down, self.inject, strict=True)):
            x = F.relu(down(x))
            if level > 0:
                x = x + F.relu(self.mix[level - 1](x))
            added.append(inject(x))
        return added


class NanoNet(nn.Module):
    """Convolutional encoder-decoder of 2.7 M parameters; sides in multiples of 32."""

    widths = (24, 40, 80, 160, 224)  # channels at 1/2, 1/4 ... 1/32 of the input
    depths = (0, 1, 3, 5, 3)  # residual blocks there
    decoder_widths = (32, 48, 64, 96)  # channels at 1/2 ... 1/16

    def __init__(self, *, has_hints: bool = True) -> None:
        """Make an untrained network.

        Args:
            has_hints: it can use hints; else it is that of the first weights, for images alone.
        """
        super().__init__()
        self.hints = HintEncoder(self.widths) if has_hints else None
        sources = (5, *self.widths[:-1])
        pairs = list(zip(sources, self.widths, strict=True))
        self.down = nn.ModuleList([ConvNorm(a, b, 3, stride=2) for a, b in pairs])
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(*[ResidualBlock(width) for _ in range(depth)])
                for width, depth in zip(self.widths, self.depths, strict=True)
            ]
        )
        self.context = GlobalContext(self.widths[-1])
        coarse = (*self.decoder_widths[1:], self.widths[-1])
        self.up = nn.ModuleList(
            [
                DecoderStep(n_coarse, n_skip, n_out)
                for n_coarse, n_skip, n_out in zip(
                    coarse, self.widths[:-1], self.decoder_widths, strict=True
                )
            ]
        )
        self.head = nn.Conv2d(self.decoder_widths[0], 2 * 4, 3, 1, 1)
        with torch.no_grad():  # the four sub-pixels of a head start equal: no chequerboard
            self.head.weight.copy_(self.head.weight[::4].repeat_interleave(4, 0))
            self.head.bias.zero_()  # type: ignore[union-attr]

    def forward(
        self, image: torch.Tensor, rays: torch.Tensor, hints: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predict depth and its spread.

        Args:
            image: (B, 3, h, w) RGB as `normalise` gives it; h and w multiples of 32.
            rays: (B, 2, h, w) x/z and y/z of each pixel's viewing ray.
            hints: (B, 4, h, w) as `hint_channels` gives them; None is the same as zeros.

        Returns:
            (B, 2, h, w): log of the depth in metres at the canonical focal length, and the log of
            its expected absolute error (in log depth, after the scale of the image is aligned).
        """
        return self.predict(self.features(image, rays, hints))

    def features(
        self, image: torch.Tensor, rays: torch.Tensor, hints: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return (B, 32, h / 2, w / 2); lower precision does little harm up to here."""
        x: torch.Tensor = torch.cat((image, rays), 1)
        added = None if hints is None or self.hints is None else self.hints(hints)
        features = []
        for level, (down, blocks) in enumerate(zip(self.down, self.blocks, strict=True)):
            x = F.relu(down(x))
            if added is not None:
                x = x + added[level]
            x = blocks(x)
            features.append(x)
        x = self.context(x)
        for step, skip in zip(reversed(self.up), reversed(features[:-1]), strict=True):
            x = step(x, skip)
        return x

    def predict(self, features: torch.Tensor) -> torch.Tensor:
        """Turn `features` into the output."""
        output: torch.Tensor = self.head(features)
        return F.pixel_shuffle(output, 2)


def fold_batch_norm(net: nn.Module) -> None:
    """Merge each batch norm into the convolution before it. The network must be in eval mode."""
    for module in net.modules():
        if not isinstance(module, ConvNorm):
            continue
        convolution, norm = module[0], module[1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(convolution, norm)
            module[1] = nn.Identity()
