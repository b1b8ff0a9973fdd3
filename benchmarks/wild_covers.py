"""What lies on a page when it is scanned or photographed: clips, fingers, holes, rings of cups, a slip."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from wild_forms import Plane, Rng, press

Cover = Callable[[Plane, Rng], Plane]
"""Draws on an image (H, W, 3) of float32, in place; gives (H, W) float32, 1 where what was there is no longer seen."""


def _none(image: Plane) -> Plane:
    return np.zeros(image.shape[:2], np.float32)


def _paint(image: Plane, mask: Plane, colour: tuple[float, ...]) -> None:
    """Lay what hides all that is under it on `image`, in place."""
    image += (np.float32(colour) - image) * cv2.GaussianBlur(mask, (0, 0), 0.8)[..., None]


def fingers(image: Plane, rng: Rng) -> Plane:
    """One to three finger tips that hold the page at an edge."""
    h, w = image.shape[:2]
    seen, unit = _none(image), w / 210
    skin = np.array([205, 160, 135]) * rng.uniform(0.5, 1.1)
    for _ in range(int(rng.integers(1, 4))):
        along, side = rng.uniform(0.1, 0.9), int(rng.integers(4))
        end = [(along * w, 0), (w, along * h), (along * w, h), (0, along * h)][side]
        mask = _none(image)
        axes = (int(rng.uniform(12, 25) * unit), int(rng.uniform(7, 10) * unit))
        cv2.ellipse(mask, (int(end[0]), int(end[1])), axes, 90 * (side % 2 == 0) + rng.uniform(-25, 25), 0, 360, 1, -1)
        image *= 1 - 0.25 * np.clip(cv2.GaussianBlur(mask, (0, 0), 3 * unit) - mask, 0, 1)[..., None]
        _paint(image, mask, tuple(skin))
        seen = np.maximum(seen, mask)
    return seen


def clip(image: Plane, rng: Rng) -> Plane:
    """A paper clip at the upper edge, or a staple in a corner."""
    w = image.shape[1]
    seen, unit = _none(image), w / 210
    x, angle = rng.uniform(0.05, 0.95) * w, rng.uniform(-20, 20)
    if rng.random() < 0.5:
        for wide, high in ((9, 32), (6, 24)):
            centre = (int(x), int(0.4 * high * unit))
            cv2.ellipse(seen, centre, (int(wide * unit / 2), int(high * unit / 2)), angle, 0, 360, 1, max(1, int(unit)))
        _paint(image, seen, (120, 122, 128))
        return seen
    ends = [(int((8 + k * 12 * np.cos(0.7)) * unit), int((8 + k * 12 * np.sin(-0.7) + 8) * unit)) for k in (0, 1)]
    cv2.line(seen, *ends, 1, max(1, int(0.8 * unit)))
    _paint(image, seen, (70, 72, 76))
    return seen


def holes(image: Plane, rng: Rng) -> Plane:
    """Two or four holes punched along a side, dark or light as what is behind them."""
    h, w = image.shape[:2]
    seen, unit = _none(image), w / 210
    x = (12 if rng.random() < 0.7 else 198) * unit
    for k in (-40, 40) if rng.random() < 0.5 else (-120, -40, 40, 120):
        cv2.circle(seen, (int(x), int(h / 2 + k * unit)), int(3 * unit), 1, -1)
    _paint(image, seen, (20, 20, 20) if rng.random() < 0.6 else (215, 212, 208))
    return seen


def ring(image: Plane, rng: Rng) -> Plane:
    """The ring of a cup and some drops: ink stays to be seen under it."""
    h, w = image.shape[:2]
    seen, unit = _none(image), w / 210
    centre = (int(rng.uniform(0.1, 0.9) * w), int(rng.uniform(0.1, 0.9) * h))
    cv2.circle(seen, centre, int(rng.uniform(32, 42) * unit), 1, int(rng.uniform(1.5, 4) * unit))
    for _ in range(int(rng.integers(2, 6))):
        drop = (int(centre[0] + rng.normal(0, 40) * unit), int(centre[1] + rng.normal(0, 40) * unit))
        cv2.circle(seen, drop, int(rng.uniform(1, 4) * unit), 1, -1)
    press(image, cv2.GaussianBlur(seen, (0, 0), 0.6 * unit), (170, 125, 75), rng.uniform(0.35, 0.8))
    return _none(image)


def slip(image: Plane, rng: Rng) -> Plane:
    """A note of other paper, written on or not, stuck somewhere on the page."""
    h, w = image.shape[:2]
    seen, unit = _none(image), w / 210
    middle = (rng.uniform(0.1, 0.9) * w, rng.uniform(0.1, 0.9) * h)
    box = cv2.boxPoints((middle, (rng.uniform(38, 76) * unit, rng.uniform(38, 76) * unit), rng.uniform(-20, 20)))
    cv2.fillPoly(seen, [np.rint(box).astype(np.int32)], (1,))
    image *= 1 - 0.2 * np.clip(cv2.GaussianBlur(seen, (0, 0), unit) - seen, 0, 1)[..., None]
    _paint(image, seen, [(250, 240, 130), (248, 248, 246), (250, 190, 205)][int(rng.integers(3))])
    if rng.random() < 0.6:
        note, at = np.zeros(seen.shape, np.uint8), (int(middle[0] - 12 * unit), int(middle[1]))
        cv2.putText(note, f"{rng.integers(10, 9999)}", at, 0, 0.18 * unit, (255,), max(1, int(0.5 * unit)), cv2.LINE_AA)
        _paint(image, note.astype(np.float32) / 255, (40, 40, 90))
    return seen


COVERS: dict[str, Cover] = {
    "under fingers": fingers, "under a clip": clip, "punched": holes, "under a cup's ring": ring, "under a slip": slip
}  # fmt: skip
