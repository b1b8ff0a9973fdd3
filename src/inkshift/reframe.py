"""Input reframing: a picture of a character is made to look like what a model was trained on.

A reframing is a line of named steps, `gray|light_ink|binarize|trim|square|margin(0.2)|resize(28)`, parsed
once, printed back exactly, and the same string in training, in the model card and in the reader
(Hernandez-Orallo et al. 2016; Pacchiotti et al. 2023, section 3.4).

Every step takes and returns (pixels, ground): a (H, W) uint8 picture and the gray level of the paper,
0 to 255. Padding is done with the ground, so a step needs no second guess at what is paper.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.errors import SettingError, nearest

# Steps of a reframing, and pixels of a side that was padded: longer ones are shrunk first.
MOST_STEPS, MOST_SIDE = 40, 6000

Framed = tuple[Gray, int]


def to_gray(image: npt.NDArray[Any]) -> Gray:
    """Any picture as (H, W) uint8.

    image: (H, W), (H, W, 1), (H, W, 2) gray with alpha, (H, W, 3) RGB or (H, W, 4) RGBA; bool, uint8,
    uint16 (0 to 65535) or float (0 to 1). Alpha is laid over white. Raises SettingError otherwise.
    """
    if image.ndim not in (2, 3) or image.size == 0 or (image.ndim == 3 and image.shape[2] not in (1, 2, 3, 4)):
        raise SettingError(f"a picture is (H, W) or (H, W, 1 to 4) and not empty; found shape {image.shape}")
    pixels = _to_bytes(image)
    if pixels.ndim == 2:
        return pixels
    channels = pixels.shape[2]
    if channels in (2, 4):
        alpha = pixels[..., -1:].astype(np.float32) / 255
        pixels = np.rint(pixels[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    if pixels.shape[2] == 3:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), np.uint8)
    return np.ascontiguousarray(pixels[..., 0])


def _to_bytes(image: npt.NDArray[Any]) -> Gray:
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * 255
    if image.dtype == np.uint16:
        return np.asarray(image >> 8, np.uint8)
    if image.dtype.kind == "f":
        return np.asarray(np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255), np.uint8)
    raise SettingError(f"a picture is bool, uint8, uint16 or float in 0..1; found {image.dtype}")


def ground_of(pixels: Gray) -> int:
    """The gray level of the paper.

    Ink covers little, so the paper lies on the side of Otsu's threshold that the larger part of the
    picture lies on; its level is the median of that side. Where the two sides nearly balance (a crop
    tight around a thick stroke) the border of the picture decides.
    """
    if pixels.size > 250_000:
        pixels = np.ascontiguousarray(pixels[::4, ::4])
    threshold, _ = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    counts = counts_of(pixels)
    first = int(threshold) + 1
    share = float(counts[first:].sum()) / pixels.size
    if 0.4 < share < 0.6:
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        share = float((border > threshold).mean())
    if share >= 0.5:
        counts[:first] = 0
    else:
        counts[first:] = 0
    return int(_middle(counts)) if counts.any() else int(pixels.flat[0])


def counts_of(levels: Gray) -> npt.NDArray[np.int64]:
    """How many of some gray levels, uint8 of any shape, are 0, 1, ... 255: (256,)."""
    flat = np.ascontiguousarray(levels).reshape(1, -1)
    return np.asarray(cv2.calcHist([flat], [0], None, [256], [0, 256]).ravel(), np.int64)


def median_of(levels: Gray) -> float:
    """The median of gray levels, uint8 of any shape but none empty, by counting: they need not be sorted."""
    return _middle(counts_of(levels))


def percentile_of(levels: Gray, percent: float) -> float:
    """A percentile of gray levels, uint8 of any shape but none empty, as NumPy's, by counting."""
    so_far = np.cumsum(counts_of(levels))
    at = percent / 100 * (int(so_far[-1]) - 1)
    low, high = (int(level) for level in np.searchsorted(so_far, [math.floor(at) + 1, math.ceil(at) + 1]))
    return low + (high - low) * (at - math.floor(at))


def _middle(counts: npt.NDArray[np.int64]) -> float:
    so_far = np.cumsum(counts)
    total = int(so_far[-1])
    low, high = np.searchsorted(so_far, [(total - 1) // 2 + 1, total // 2 + 1])
    return (int(low) + int(high)) / 2


def _gray(pixels: Gray, ground: int) -> Framed:
    return pixels, ground


def _invert(pixels: Gray, ground: int) -> Framed:
    return np.asarray(cv2.bitwise_not(pixels), np.uint8), 255 - ground


def _light_ink(pixels: Gray, ground: int) -> Framed:
    return _invert(pixels, ground) if ground > 127 else (pixels, ground)


def _binarize(pixels: Gray, ground: int) -> Framed:
    threshold, out = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(out, np.uint8), 255 if ground > threshold else 0


def _stretch(pixels: Gray, ground: int) -> Framed:
    full = max(abs(int(pixels.min()) - ground), abs(int(pixels.max()) - ground))
    if full == 0:
        return pixels, ground
    far = np.minimum(np.abs(np.arange(256) - ground) * 255 // full, 255).astype(np.uint8)
    if ground > 127:
        return np.asarray(cv2.LUT(pixels, 255 - far), np.uint8), 255
    return np.asarray(cv2.LUT(pixels, far), np.uint8), 0


def ink_box(pixels: Gray, ground: int) -> tuple[int, int, int, int] | None:
    """x, y, width, height of what differs from the ground by more than a quarter of the most; None if nothing."""
    distance = cv2.absdiff(pixels, np.full_like(pixels, ground)) if ground else pixels
    most = int(distance.max())
    if most == 0:
        return None
    x, y, w, h = cv2.boundingRect((distance > most // 4).view(np.uint8))
    return x, y, w, h


def _trim(pixels: Gray, ground: int) -> Framed:
    box = ink_box(pixels, ground)
    if box is None:
        return pixels, ground
    x, y, w, h = box
    return pixels[y : y + h, x : x + w], ground


def _pad(pixels: Gray, ground: int, top: int, bottom: int, left: int, right: int) -> Framed:
    border = cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(ground,))
    return np.asarray(border, np.uint8), ground


def _bounded(pixels: Gray, side: float) -> Gray:
    """The pixels, shrunk by a whole number where they would come to lie on a larger square than any character needs."""
    k = math.ceil(side / MOST_SIDE)
    if k <= 1:
        return pixels
    size = max(1, pixels.shape[1] // k), max(1, pixels.shape[0] // k)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _square(pixels: Gray, ground: int) -> Framed:
    pixels = _bounded(pixels, max(pixels.shape))
    h, w = pixels.shape
    spare_h, spare_w = max(w - h, 0), max(h - w, 0)
    return _pad(pixels, ground, spare_h // 2, spare_h - spare_h // 2, spare_w // 2, spare_w - spare_w // 2)


def _margin(pixels: Gray, ground: int, share: float) -> Framed:
    pixels = _bounded(pixels, max(pixels.shape) * (1 + 2 * share))
    m = round(max(pixels.shape) * share)
    return _pad(pixels, ground, m, m, m, m)


def _resize(pixels: Gray, ground: int, side: float) -> Framed:
    n = int(side)
    if pixels.shape == (n, n):
        return pixels, ground
    way = cv2.INTER_AREA if min(pixels.shape) >= n else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (n, n), interpolation=way), np.uint8), ground


def _line(pixels: Gray, ground: int, height: float) -> Framed:
    """`height` pixels high, the width in proportion, 8 pixels to 40 times the height."""
    n = int(height)
    width = min(max(round(pixels.shape[1] * n / pixels.shape[0]), 8), 40 * n)
    if pixels.shape == (n, width):
        return pixels, ground
    way = cv2.INTER_AREA if pixels.shape[0] >= n else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, n), interpolation=way), np.uint8), ground


def _center_mass(pixels: Gray, ground: int) -> Framed:
    """Whole-pixel shift that brings the centre of mass of the ink to the middle, never cutting ink off."""
    distance = cv2.absdiff(pixels, np.full_like(pixels, ground)) if ground else pixels
    m = cv2.moments(distance)
    if m["m00"] == 0:
        return pixels, ground
    h, w = pixels.shape
    x, y, bw, bh = ink_box(pixels, ground) or (0, 0, w, h)
    dx = min(max(round((w - 1) / 2 - m["m10"] / m["m00"]), -x), w - x - bw)
    dy = min(max(round((h - 1) / 2 - m["m01"] / m["m00"]), -y), h - y - bh)
    if dx == 0 and dy == 0:
        return pixels, ground
    out = np.full_like(pixels, ground)
    out[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = pixels[
        max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)
    ]
    return out, ground


def _deslant(pixels: Gray, ground: int) -> Framed:
    """Shear that makes the second moments of the ink upright; the picture grows so that no ink is cut."""
    distance = cv2.absdiff(pixels, np.full_like(pixels, ground)) if ground else pixels
    m = cv2.moments(distance)
    if m["mu02"] < 1e-3:
        return pixels, ground
    shear = float(np.clip(m["mu11"] / m["mu02"], -0.8, 0.8))
    h, w = pixels.shape
    extra = int(np.ceil(abs(shear) * h))
    matrix = np.array([[1, -shear, (shear * (h - 1) + extra) / 2], [0, 1, 0]], np.float32)
    out = cv2.warpAffine(pixels, matrix, (w + extra, h), borderValue=(ground,))
    return np.asarray(out, np.uint8), ground


def pad(pictures: Sequence[Gray], step: int = 8) -> Gray:
    """Pictures (H, W) of one height as (N, H, widest) uint8, zeros at the right; the width a multiple of `step`."""
    widest = max(picture.shape[1] for picture in pictures)
    out = np.zeros((len(pictures), pictures[0].shape[0], -(-widest // step) * step), np.uint8)
    for row, picture in zip(out, pictures, strict=True):
        row[:, : picture.shape[1]] = picture
    return out


@dataclass(frozen=True, slots=True)
class _Step:
    act: Callable[..., Framed]
    allowed: tuple[float, float] | None = None
    whole: bool = False


_STEPS: dict[str, _Step] = {
    "gray": _Step(_gray),
    "invert": _Step(_invert),
    "light_ink": _Step(_light_ink),
    "binarize": _Step(_binarize),
    "stretch": _Step(_stretch),
    "trim": _Step(_trim),
    "square": _Step(_square),
    "margin": _Step(_margin, (0, 2)),
    "resize": _Step(_resize, (1, 1024), whole=True),
    "line": _Step(_line, (8, 256), whole=True),
    "center_mass": _Step(_center_mass),
    "deslant": _Step(_deslant),
}


@dataclass(frozen=True, slots=True)
class Reframing:
    """A parsed reframing; `str()` gives back the text it came from, spaces and all."""

    text: str
    steps: tuple[tuple[str, float | None], ...]

    def __str__(self) -> str:
        return self.text

    def __or__(self, other: Reframing) -> Reframing:
        return Reframing(f"{self.text}|{other.text}", self.steps + other.steps)

    def __call__(self, image: npt.NDArray[Any], ground: int | None = None) -> Gray:
        """Reframe one picture (see `to_gray` for what it may be) into (H, W) uint8.

        ground: gray level of the paper where it is known; found by `ground_of` otherwise.
        """
        pixels = to_gray(image)
        level = ground_of(pixels) if ground is None else ground
        for name, argument in self.steps:
            step = _STEPS[name].act
            pixels, level = step(pixels, level) if argument is None else step(pixels, level, argument)
        return np.ascontiguousarray(pixels)

    def after(self, name: str) -> Reframing:
        """The steps from the first one called `name` on; all of them where there is none."""
        names = [step for step, _ in self.steps]
        steps = self.steps[names.index(name) :] if name in names else self.steps
        return Reframing("|".join(_write(n, a) for n, a in steps), steps)

    def of_ink(self) -> Callable[[Gray], Gray]:
        """The reframing of what is already ink, light on black, tightly cut: its steps from `trim` on.

        A reframing without `trim` was written for pictures as scanned, dark on light, so it gets that.
        """
        if any(name == "trim" for name, _ in self.steps):
            return partial(self.after("trim"), ground=0)
        return lambda ink: self(np.asarray(cv2.bitwise_not(ink), np.uint8), ground=255)


def parse(text: str) -> Reframing:
    """Parse `gray|trim|margin(0.2)`. Raises SettingError naming the step and what is allowed."""
    parts = text.split("|")
    if len(parts) > MOST_STEPS:
        raise SettingError(f"reframing: expected at most {MOST_STEPS} steps, found {len(parts)}; leave some out")
    steps = tuple(_read_step(part.strip(), text) for part in parts)
    return Reframing(text, steps)


def _read_step(part: str, text: str) -> tuple[str, float | None]:
    found = re.fullmatch(r"([a-z_]+)(?:\(\s*([0-9]*\.?[0-9]+)\s*\))?", part)
    if found is None:
        raise SettingError(f"reframing {text!r}: step {part!r} must read like trim or margin(0.2)")
    name, argument = found[1], found[2]
    if name not in _STEPS:
        raise SettingError(f"reframing {text!r}: no step {name!r}; {nearest(name, _STEPS)}")
    step = _STEPS[name]
    if (step.allowed is None) != (argument is None):
        wants = "no number" if step.allowed is None else f"a number from {step.allowed[0]:g} to {step.allowed[1]:g}"
        raise SettingError(f"reframing {text!r}: step {name} takes {wants}, found {part!r}")
    if step.allowed is None or argument is None:
        return name, None
    value = float(argument)
    if not step.allowed[0] <= value <= step.allowed[1] or (step.whole and value != int(value)):
        kind = "a whole number" if step.whole else "a number"
        raise SettingError(
            f"reframing {text!r}: {name} takes {kind} from {step.allowed[0]:g} to {step.allowed[1]:g}, found {argument}"
        )
    return name, value


def _write(name: str, argument: float | None) -> str:
    return name if argument is None else f"{name}({argument:g})"
