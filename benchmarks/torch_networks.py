"""Plain PyTorch peers of benchmarks/training.py, written as one writes them: modules, `torch.cat`, no tricks.

The tiramisu has the form of `carlaseg.models.fc_densenet` as it stands (713,580 trainable parameters at 13 classes), or
of the published ones; the U-Nets are as large as it takes to make the same number of multiply-adds. Pictures are float
(B, 3, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class DenseBlock(nn.Module):
    """Layers of norm, ReLU, convolution, dropout; each sees what all before it made."""

    def __init__(self, maps: int, layers: int, growth_rate: int, dropout_rate: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(maps + index * growth_rate),
                nn.ReLU(inplace=True),
                nn.Conv2d(maps + index * growth_rate, growth_rate, 3, padding=1),
                nn.Dropout(dropout_rate),
            )
            for index in range(layers)
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The whole stack, and the new maps alone."""
        new = []
        for layer in self.layers:
            made = layer(x)
            new.append(made)
            x = torch.cat([x, made], 1)
        return x, torch.cat(new, 1)


class Tiramisu(nn.Module):
    """FC-DenseNet of free form; height and width must be multiples of 2**groups."""

    def __init__(
        self,
        num_classes: int,
        groups: int = 5,
        layers_per_block: int | Sequence[int] = 4,
        growth_rate: int = 12,
        first_filters: int = 36,
        first_kernel: int = 7,
        compression: float = 0.6,
        dropout_rate: float = 0.2,
        pooling: str = "average",
    ) -> None:
        super().__init__()
        blocks = 2 * groups + 1
        layers = (layers_per_block,) * blocks if isinstance(layers_per_block, int) else tuple(layers_per_block)
        pool = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
        self.first = nn.Conv2d(3, first_filters, first_kernel, padding=first_kernel // 2)
        self.down, self.transitions_down = nn.ModuleList(), nn.ModuleList()
        self.up, self.transitions_up = nn.ModuleList(), nn.ModuleList()
        maps, skips = first_filters, []
        for count in layers[:groups]:
            self.down.append(DenseBlock(maps, count, growth_rate, dropout_rate))
            maps += count * growth_rate
            skips.append(maps)
            fewer = int(compression * maps)
            self.transitions_down.append(
                nn.Sequential(
                    nn.BatchNorm2d(maps), nn.ReLU(inplace=True), nn.Conv2d(maps, fewer, 1), nn.Dropout(dropout_rate),
                    pool(2),
                )
            )  # fmt: skip
            maps = fewer
        self.bottleneck = DenseBlock(maps, layers[groups], growth_rate, dropout_rate)
        new = layers[groups] * growth_rate
        for skip, count in zip(reversed(skips), layers[groups + 1 :], strict=True):
            self.transitions_up.append(nn.ConvTranspose2d(new, new, 3, stride=2, padding=1, output_padding=1))
            self.up.append(DenseBlock(new + skip, count, growth_rate, dropout_rate))
            maps, new = new + skip + count * growth_rate, count * growth_rate
        self.logits = nn.Conv2d(maps, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, (B, classes, H, W)."""
        x = self.first(x)
        skips = []
        for block, transition in zip(self.down, self.transitions_down, strict=True):
            x, _ = block(x)
            skips.append(x)
            x = transition(x)
        x, new = self.bottleneck(x)
        for block, transition in zip(self.up, self.transitions_up, strict=True):
            x, new = block(torch.cat([transition(new), skips.pop()], 1))
        return self.logits(x)


class UNet(nn.Module):
    """U-Net with batch norm and padded convolutions; height and width must be multiples of 16."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.down = nn.ModuleList(_two_convs(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True))
        self.halve = nn.MaxPool2d(2)
        upwards = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in upwards)
        self.up = nn.ModuleList(_two_convs(a, b) for a, b in upwards)
        self.logits = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, (B, classes, H, W)."""
        skips = []
        for index, convs in enumerate(self.down):
            x = convs(x if index == 0 else self.halve(x))
            skips.append(x)
        skips.pop()
        for enlarge, convs in zip(self.enlarge, self.up, strict=True):
            x = convs(torch.cat([skips.pop(), enlarge(x)], 1))
        return self.logits(x)


def _two_convs(maps: int, out: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(maps, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
        nn.Conv2d(out, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
    )  # fmt: skip


def multiply_adds(network: nn.Module, height: int, width: int) -> int:
    """Multiplications with an addition of the convolutions on one picture, counted as `carlaseg.models.cost` does."""
    counted = 0

    def count(layer: Any, inputs: Any, output: Any) -> None:
        nonlocal counted
        pixels = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counted += math.prod(pixels.shape[2:]) * math.prod(layer.weight.shape)

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, height, width))
    for hook in hooks:
        hook.remove()
    network.train()
    return counted


def unet_of(wanted: int, num_classes: int, height: int, width: int) -> UNet:
    """The U-Net whose multiply-adds on a picture come nearest to a number."""
    at_eight = multiply_adds(UNet(num_classes, 8), height, width)
    # They grow with the square of the width, but for the first and the last convolution.
    guess = round(8 * math.sqrt(wanted / at_eight))
    networks = [UNet(num_classes, each) for each in range(max(1, guess - 2), guess + 3)]
    return min(networks, key=lambda network: abs(multiply_adds(network, height, width) - wanted))


def nearest_smp_unet(wanted: int, num_classes: int, height: int, width: int) -> nn.Module:
    """The U-Net of segmentation_models_pytorch whose multiply-adds on a picture come nearest to a number.

    Raises:
        ImportError: the library, or something that it needs, is not installed.
    """
    import segmentation_models_pytorch as smp

    encoders = ("resnet18", "resnet34", "resnet50", "resnet101")
    networks = [smp.Unet(encoder, encoder_weights=None, classes=num_classes) for encoder in encoders]
    return min(networks, key=lambda network: abs(multiply_adds(network, height, width) - wanted))
