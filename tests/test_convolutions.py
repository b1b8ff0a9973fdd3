"""The shortcuts are torch's own convolution: the same values and gradients, and weights by the same names."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from torch import nn  # noqa: E402
from torch.nn.functional import conv2d  # noqa: E402

from inkshift.models.train.convolutions import (  # noqa: E402
    PatchConv2d,
    SmallMapConv2d,
    patch_conv,
    small_map_conv,
    use_shortcuts,
)
from inkshift.models.train.loop import seed_all  # noqa: E402
from inkshift.models.train.networks import build  # noqa: E402

counts, sizes = st.integers(1, 5), st.integers(1, 14)
# Type, and how far two orders of the same sum may lie apart in it.
precisions = st.sampled_from([(torch.float64, 1e-10), (torch.float32, 1e-4)])


def draw(seed: int, dtype: torch.dtype, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def assert_same(ours: torch.Tensor, theirs: torch.Tensor, of: list[torch.Tensor], tolerance: float) -> None:
    """Values, and gradients of a random weighted sum of them."""
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    cotangent = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1), dtype=theirs.dtype)
    for mine, expected in zip(
        torch.autograd.grad(ours, of, cotangent), torch.autograd.grad(theirs, of, cotangent), strict=True
    ):
        torch.testing.assert_close(mine, expected, rtol=tolerance, atol=tolerance)


@settings(max_examples=40)
@given(counts, counts, counts, st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.booleans(), precisions, counts)
def test_a_small_map_is_convolved_as_torch_does(
    count: int,
    channels: int,
    outputs: int,
    side: int,
    stride: int,
    with_bias: bool,
    precision: tuple[torch.dtype, float],
    seed: int,
) -> None:
    dtype, tolerance = precision
    shapes = [(count, channels, side, side), (outputs, channels, 3, 3), (outputs,)][: 3 if with_bias else 2]
    maps, weight, *bias = drawn = draw(seed, dtype, *shapes)
    ours = small_map_conv(maps, weight, *bias, stride=stride)
    assert_same(ours, conv2d(maps, weight, *bias, stride=stride, padding=1), drawn, tolerance)


@settings(max_examples=40)
@given(counts, counts, sizes, sizes, st.integers(1, 7), counts, st.integers(0, 3), precisions, counts)
def test_a_picture_of_one_channel_is_convolved_as_torch_does(
    count: int,
    outputs: int,
    height: int,
    width: int,
    kernel: int,
    stride: int,
    padding: int,
    precision: tuple[torch.dtype, float],
    seed: int,
) -> None:
    dtype, tolerance = precision
    room = max(kernel - 2 * padding, 0)
    drawn = draw(seed, dtype, (count, 1, height + room, width + room), (outputs, 1, kernel, kernel))
    pictures, weight = drawn
    ours = patch_conv(pictures, weight, stride, padding)
    assert_same(ours, conv2d(pictures, weight, None, stride, padding), drawn, tolerance)


@pytest.mark.parametrize("shape", [(2, 3, 3, 3), (2, 3, 1, 2), (2, 3, 2, 1), (2, 3, 8, 8)])
def test_maps_that_are_not_small_squares_take_the_usual_way(shape: tuple[int, ...]) -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1)
    maps = torch.randn(shape)
    assert torch.equal(use_shortcuts(copy.deepcopy(conv))(maps), conv(maps))


def test_a_convolution_that_does_not_learn_takes_the_usual_way() -> None:
    conv = nn.Conv2d(1, 4, 5, stride=2, padding=2, bias=False)
    short = use_shortcuts(copy.deepcopy(conv))
    pictures = torch.randn(2, 1, 9, 9)
    assert isinstance(short, PatchConv2d)
    with torch.no_grad():
        assert torch.equal(short(pictures), conv(pictures))
    short.weight.requires_grad_(False)
    assert torch.equal(short(pictures), conv(pictures))


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, stride=3),
        nn.Conv2d(4, 4, (3, 1), padding=(1, 0)),
        nn.Conv2d(1, 4, (3, 5), bias=False),
        nn.Conv2d(1, 4, 5),
        nn.ConvTranspose2d(4, 4, 3, padding=1),
    ],
    ids=str,
)
def test_other_convolutions_stay_what_they_are(other: nn.Module) -> None:
    kind = type(other)
    assert type(use_shortcuts(other)) is kind


def resnet(shortcuts: bool) -> nn.Module:
    seed_all(4)
    return build("resnet18", 10, 32, shortcuts=shortcuts).double()


def test_a_network_keeps_its_weights_and_their_names() -> None:
    plain, short = resnet(False), resnet(True)
    kinds = {type(module) for module in short.modules()}
    assert {PatchConv2d, SmallMapConv2d} <= kinds
    assert not {PatchConv2d, SmallMapConv2d} & {type(module) for module in plain.modules()}
    ours, theirs = short.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_network_gives_the_same_logits_and_learns_the_same_in_a_step() -> None:
    pictures = torch.rand(12, 1, 32, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = torch.arange(12) % 10
    outcome = []
    for shortcuts in (False, True):
        net = resnet(shortcuts)
        with torch.no_grad():
            before = net.eval()(pictures)
        loss = nn.functional.cross_entropy(net.train()(pictures), labels)
        loss.backward()
        torch.optim.SGD(net.parameters(), lr=0.1).step()
        outcome.append([before, loss.detach(), *net.state_dict().values()])
    for theirs, ours in zip(*outcome, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
