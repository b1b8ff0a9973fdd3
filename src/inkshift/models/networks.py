"""The networks, in torch."""

from __future__ import annotations

import torch
from torch import nn


def mnist_convnet(classes: int = 10) -> nn.Sequential:
    """The small convnet that Pacchiotti et al. 2023 (Fig. 7) take from the Keras documentation.

    Input (N, 1, 28, 28) float in 0..1; output (N, classes) logits. 34,826 parameters with ten classes.
    Weights start as Keras starts them: Glorot uniform, biases zero.
    """
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(1600, classes),
    )
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net


class FromBytes(nn.Module):
    """A network behind the scaling of its input: (N, 28, 28) uint8 in, logits out. This is what ships."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images.unsqueeze(1).to(torch.float32) / 255)  # type: ignore[no-any-return]


ARCHITECTURES = {"mnist-convnet": mnist_convnet}
