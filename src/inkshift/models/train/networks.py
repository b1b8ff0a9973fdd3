"""The networks, in torch: the small convnet, any backbone of timm with a new final layer; and what ships of one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import nn

from inkshift.errors import SettingError, nearest, need
from inkshift.models.ctc import HEIGHT
from inkshift.models.train.convolutions import use_shortcuts

# Of a network that a study trains: with its gradients and Adam's moments it takes 16 bytes for each.
MOST_PARAMETERS = 90_000_000
CONVNET = "mnist-convnet"


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


NUMBERS, FAR_NUMBERS, DEEP_NUMBERS = "number-net", "number-net-far", "number-net-deep"


@dataclass(frozen=True, slots=True)
class Depth:
    """apart: steps between the taps of the four convolutions along the line. With 1, 2, 4, 8 they see 60 pixels to
    either side at no cost (Yu and Koltun 2016): enough to tell the gap between two numbers from the end of one.
    blocks: residual blocks over the picture, after the second and after the third stage.
    """

    apart: tuple[int, int, int, int]
    blocks: tuple[int, int]


ARCHITECTURES = {
    NUMBERS: Depth((1, 1, 1, 1), (0, 0)),
    FAR_NUMBERS: Depth((1, 2, 4, 8), (0, 0)),
    DEEP_NUMBERS: Depth((1, 2, 4, 8), (1, 1)),
}


class _Residual(nn.Module):
    """x + two convolutions of `side` (He et al. 2016), whose taps are `apart` columns from one another."""

    def __init__(self, channels: int, side: tuple[int, int], apart: tuple[int, int]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _same(channels, side, apart[0]),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            _same(channels, side, apart[1]),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(x + self.body(x))


def _same(channels: int, side: tuple[int, int], apart: int) -> nn.Conv2d:
    padding = (side[0] // 2, apart * (side[1] // 2))
    return nn.Conv2d(channels, channels, side, padding=padding, dilation=(1, apart), bias=False)


class NumberNet(nn.Module):
    """Reads a whole number: convolutions over the line, then one column of features for every four pixels.

    Input (N, 1, 32, W) float in 0..1, light ink on black; output (N, W / 4, classes) logits: the digits, perhaps
    marks, then the blank of connectionist temporal classification (Graves et al. 2006). widths: channels of the four
    stages. architecture: one of `ARCHITECTURES`.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (16, 48, 128, 192),
        classes: int = 11,
        architecture: str = NUMBERS,
    ) -> None:
        super().__init__()
        depth = ARCHITECTURES[architecture]
        a, b, c, d = widths
        # A network with more blocks has the others' names for the rest, see `inkshift.models.train.checkpoint`.
        self.trunk = nn.Sequential(
            *_convolution(1, a, 5, stride=2),
            *_convolution(a, a, 3),
            nn.MaxPool2d(2),
            *_convolution(a, b, 3),
            *_convolution(b, b, 3),
            nn.Sequential(*_blocks(b, depth.blocks[0]), nn.MaxPool2d((2, 1))),
            *_convolution(b, c, 3),
            *_convolution(c, c, 3),
            *_blocks(c, depth.blocks[1]),
        )
        self.line = nn.Sequential(
            nn.Conv2d(c, d, (HEIGHT // 8, 1), bias=False),
            nn.BatchNorm2d(d),
            nn.ReLU(inplace=True),
            _Residual(d, (1, 3), depth.apart[:2]),
            _Residual(d, (1, 3), depth.apart[2:]),
            nn.Dropout(0.1),
        )
        self.head = nn.Linear(d, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = self.line(self.trunk(x)).squeeze(2).transpose(1, 2)
        return self.head(columns)  # type: ignore[no-any-return]


def _blocks(channels: int, count: int) -> list[nn.Module]:
    return [_Residual(channels, (3, 3), (1, 1)) for _ in range(count)]


def _convolution(inputs: int, outputs: int, side: int, stride: int = 1) -> tuple[nn.Module, ...]:
    layer = nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2, bias=False)
    return layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def build(backbone: str, classes: int, side: int, channels: int = 1, shortcuts: bool = True) -> nn.Module:
    """A network with random weights: input (N, channels, side, side) float in 0..1, output (N, classes) logits.

    backbone: `mnist-convnet`, or the name of a timm model, such as `resnet18`. shortcuts: see
    `inkshift.models.train.convolutions`. Weights follow from torch's random state. Raises SettingError for a name
    that timm does not have, or a network that cannot take such pictures.
    """
    if backbone == CONVNET:
        if (side, channels) != (28, 1):
            raise SettingError(f"backbone {CONVNET} takes 28 px and 1 channel, found {side} px, {channels}")
        return mnist_convnet(classes)
    timm = need("timm", "study", f"the backbone {backbone}")
    if backbone not in timm.list_models():
        raise SettingError(f"backbone: no network is called {backbone!r}; {_hint(backbone, timm.list_models())}")
    with torch.device("meta"):  # shapes alone: a giant is refused before it takes memory
        plan = timm.create_model(backbone, pretrained=False, num_classes=classes, in_chans=channels)
    if (count := sum(parameter.numel() for parameter in plan.parameters())) > MOST_PARAMETERS:
        raise SettingError(
            f"backbone {backbone}: expected at most {MOST_PARAMETERS // 10**6} million parameters, "
            f"found {count // 10**6} million; take a smaller network"
        )
    net: nn.Module = timm.create_model(backbone, pretrained=False, num_classes=classes, in_chans=channels)
    _try_out(net, backbone, side, channels)
    return use_shortcuts(net) if shortcuts else net


def _hint(name: str, known: list[str]) -> str:
    meant = nearest(name, [CONVNET, *known]).partition("; ")[2]
    return f"take {CONVNET} or a name that timm.list_models() gives" + (f"; {meant}" if meant else "")


def _try_out(net: nn.Module, backbone: str, side: int, channels: int) -> None:
    net.eval()
    try:
        with torch.inference_mode():
            net(torch.zeros(1, channels, side, side))
    except (RuntimeError, AssertionError, ValueError) as e:
        problem = str(e).splitlines()[0]
        raise SettingError(f"backbone {backbone}: cannot take pictures of {side} px ({problem}); resize them") from None


def final_layer(net: nn.Module) -> nn.Linear:
    """The layer that a frozen network learns anew. Raises SettingError where the network ends in another kind."""
    last = net[-1] if isinstance(net, nn.Sequential) else net.get_classifier()  # type: ignore[operator]
    if not isinstance(last, nn.Linear):
        raise SettingError(f"a frozen network must end in one linear layer; {type(net).__name__} ends in {last}")
    return last


def trunk(net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """What `net` does before its final layer: (N, channels, side, side) -> features (N, d)."""
    if isinstance(net, nn.Sequential):
        return net[:-1]
    return lambda x: net.forward_head(net.forward_features(x), pre_logits=True)  # type: ignore[operator]


def native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself, and faster than float32.

    The library that multiplies also says yes where AVX-512 has to emulate it. Processors that have AVX-512-FP16 too
    multiply bfloat16 in AMX; where a virtual machine hides that, what is left takes twice as long as float32. What else
    the machine has changes nothing: a study plans the same runs with and without an accelerator.
    """
    has = torch.cpu.get_capabilities()
    fast = has.get("avx512_bf16") and not has.get("avx512_fp16")
    return bool(fast or has.get("amx_bf16") or has.get("bf16"))


class FromBytes(nn.Module):
    """A network behind the scaling of its input: (N, H, W) uint8 in, logits out. This is what ships."""

    def __init__(self, net: nn.Module, channels: int = 1) -> None:
        super().__init__()
        self.net = net
        self.channels = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(as_input(images, self.channels))  # type: ignore[no-any-return]


def as_input(images: torch.Tensor, channels: int = 1) -> torch.Tensor:
    """(N, H, W) uint8 -> (N, channels, H, W) float32 in 0..1, the same in every channel."""
    pictures = images.unsqueeze(1).to(torch.float32) / 255
    return pictures if channels == 1 else pictures.expand(-1, channels, -1, -1)


def weights_bytes(net: nn.Module) -> bytes:
    """All parameters and buffers of `net` as a safetensors file."""
    return safetensors.torch.save({name: value.contiguous() for name, value in net.state_dict().items()})


def graph_bytes(net: nn.Module, side: int = 28, channels: int = 1) -> bytes:
    """An ONNX file: (N, side, side) uint8 in, (N, classes) float32 logits out, any N."""
    return _export(FromBytes(net, channels), torch.zeros(2, side, side, dtype=torch.uint8), {0: "n"})


def line_graph_bytes(net: nn.Module) -> bytes:
    """An ONNX file: (N, 32, 8 W) uint8 in, (N, 2 W, classes) float32 logits out, any N and W."""
    return _export(FromBytes(net), torch.zeros(2, HEIGHT, 64, dtype=torch.uint8), {0: "n", 2: "w"})


def plain_graph_bytes(net: nn.Module, side: int, channels: int) -> bytes:
    """An ONNX file of the network as it is: (N, channels, side, side) float32 in, (N, classes) logits out, any N."""
    return _export(net, torch.zeros(2, channels, side, side), {0: "n"})


def _export(net: nn.Module, pictures: torch.Tensor, free: dict[int, str]) -> bytes:
    need("onnxscript", "study", "writing an ONNX graph")
    dims = {"n": torch.export.Dim("n"), "w": 8 * torch.export.Dim("w", min=1, max=400)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net.eval(),
            (pictures,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({axis: dims[name] for axis, name in free.items()},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
