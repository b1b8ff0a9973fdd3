"""Two shortcuts for convolutions of small pictures; both give the same sums, up to the order of their terms.

ResNet-18 at 32 px ends in maps of 2x2 and 1x1 pixels. A 3x3 kernel with padding 1 lays most of its taps on the
padding there, and routines made for large maps spend half of a training step on it; the product with the taps
that do meet a pixel is a small matrix product. Its first convolution sees one channel, for which the same routines
are slow on the way back; as a product with the picture's patches it is several times faster.
Measured by `benchmarks/study.py`.
"""

from __future__ import annotations

import torch
from torch import nn

_LARGEST = 2


def use_shortcuts(net: nn.Module) -> nn.Module:
    """Let every convolution of `net` that can take a shortcut take it; weights and their names stay."""
    for module in net.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            if module.kernel_size == (3, 3) and module.padding == (1, 1) and module.stride in ((1, 1), (2, 2)):
                module.__class__ = SmallMapConv2d
            elif module.in_channels == 1 and module.bias is None:
                module.__class__ = PatchConv2d
    return net


def _is_plain(conv: nn.Conv2d) -> bool:
    square = len(set(conv.kernel_size)) == len(set(conv.stride)) == len(set(conv.padding)) == 1
    return square and conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"


class SmallMapConv2d(nn.Conv2d):
    """A 3x3 convolution with padding 1 and stride 1 or 2: on maps up to 2x2 a matrix product."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        side = input.shape[-1]
        if input.shape[-2] != side or side > _LARGEST:
            return super().forward(input)
        return small_map_conv(input, self.weight, self.bias, self.stride[0])


class PatchConv2d(nn.Conv2d):
    """A convolution of pictures with one channel, no bias, as a product with their patches while it learns."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if input.requires_grad or not (torch.is_grad_enabled() and self.weight.requires_grad):
            return super().forward(input)
        return patch_conv(input, self.weight, self.stride[0], int(self.padding[0]))


def small_map_conv(
    maps: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, stride: int = 1
) -> torch.Tensor:
    """conv2d(maps, weight, bias, stride, padding=1) of square maps (N, C, 1, 1) or (N, C, 2, 2) with 3x3 kernels."""
    count, channels, side, _ = maps.shape
    out_channels = weight.shape[0]
    out_side = (side - 1) // stride + 1
    pixels, out_pixels = side * side, out_side * out_side
    taps = torch.tensor(_taps(side, out_side, stride), device=weight.device)
    blocks = weight.permute(2, 3, 0, 1).reshape(9, out_channels, channels).index_select(0, taps)
    matrix = blocks.view(out_pixels, pixels, out_channels, channels).permute(0, 2, 1, 3)
    flat = maps.permute(0, 2, 3, 1).reshape(count, pixels * channels)
    out = flat @ matrix.reshape(out_pixels * out_channels, pixels * channels).T
    out = out.view(count, out_side, out_side, out_channels).permute(0, 3, 1, 2)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def _taps(side: int, out_side: int, stride: int) -> list[int]:
    """For each output pixel and each input pixel, in reading order, which of the nine taps joins them."""
    return [
        3 * (y - stride * out_y + 1) + (x - stride * out_x + 1)
        for out_y in range(out_side)
        for out_x in range(out_side)
        for y in range(side)
        for x in range(side)
    ]


def patch_conv(pictures: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """conv2d(pictures, weight, None, stride, padding) of pictures (N, 1, H, W) with square kernels."""
    size = weight.shape[-1]
    padded = nn.functional.pad(pictures[:, 0], (padding,) * 4)
    patches = padded.unfold(1, size, stride).unfold(2, size, stride)
    count, height, width = patches.shape[:3]
    out = patches.reshape(-1, size * size) @ weight.reshape(len(weight), -1).T
    return out.view(count, height, width, len(weight)).permute(0, 3, 1, 2)
