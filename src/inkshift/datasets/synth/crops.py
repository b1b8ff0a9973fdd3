"""Training pictures for a digit model that must read cut-out digits: real glyphs, endlessly redrawn.

Twelve classes: the ten digits, `junk` (ink that is no digit: fragments, pairs, letters, marks) and
`crossed` (what is put in a cell that is not used).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.datasets.synth import augment
from inkshift.reframe import Reframing

Maps = npt.NDArray[np.int8]
JUNK, CROSSED = 10, 11
CLASSES = (*"0123456789", "junk", "crossed")

# Letters whose shapes no digit has; the others are left out, neither digit nor junk.
JUNK_LETTERS = frozenset("EFKMNRWadefkmnrtwHV")
CROSS_LETTERS = frozenset("xX")


@dataclass(frozen=True, slots=True)
class Pool:
    """Clean digits (N, 28, 28) uint8, light on black, with labels (N,), and packed distance maps
    (N, 64, 64) int8 of digits, letters and crosses."""

    digits: Gray
    labels: npt.NDArray[np.int64]
    digit_maps: Maps
    letter_maps: Maps
    cross_maps: Maps


def make_pool(digits: Gray, labels: npt.NDArray[np.int64], letters: Gray, crosses: Gray) -> Pool:
    """A pool of glyphs, each (N, 28, 28) uint8, light on black."""
    return Pool(digits, labels, *(maps_of(glyphs) for glyphs in (digits, letters, crosses)))


def maps_of(glyphs: Gray) -> Maps:
    """(N, 64, 64) int8: the distance maps of (N, H, W) glyphs, packed."""
    return np.stack([augment.pack(augment.distance_map(glyph)) for glyph in glyphs])


def epoch(pool: Pool, count: int, seed: Sequence[int], frame: Reframing) -> tuple[Gray, npt.NDArray[np.int64]]:
    """`count` pictures (count, 28, 28) uint8 and their classes (count,) int64; the same for the same seed.

    frame: the geometric part of the model's reframing, from `trim` on.
    """
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28), np.uint8)
    labels = np.zeros(count, np.int64)
    for i in range(count):
        picture, labels[i] = _sample(pool, rng)
        images[i] = frame(picture, ground=0)
    return images, labels


def _sample(pool: Pool, rng: augment.Rng) -> tuple[Gray, int]:
    chance = rng.random()
    if chance < 0.12:
        row = int(rng.integers(len(pool.digits)))
        return pool.digits[row], int(pool.labels[row])
    if chance < 0.80:
        picture, label = _digit(pool, rng)
        return augment.rescan(augment.damage(picture, lambda: _digit(pool, rng)[0], rng), rng), label
    if chance < 0.93:
        return augment.rescan(_junk(pool, rng), rng), JUNK
    field = _pick(pool.cross_maps, rng) if rng.random() < 0.4 else augment.crossing(rng)
    picture = augment.ink(augment.bend(field, rng), rng)
    return augment.rescan(augment.damage(picture, lambda: picture, rng), rng), CROSSED


def _pick(maps: Maps, rng: augment.Rng) -> npt.NDArray[np.float32]:
    return augment.unpack(maps[rng.integers(len(maps))])


def _digit(pool: Pool, rng: augment.Rng, only: int | None = None) -> tuple[Gray, int]:
    rows = pool.labels if only is None else np.flatnonzero(pool.labels == only)
    row = int(rng.integers(len(rows))) if only is None else int(rng.choice(rows))
    label = int(pool.labels[row])
    field = augment.regional(label, augment.unpack(pool.digit_maps[row]), rng)
    return augment.ink(augment.bend(field, rng), rng), label


def _junk(pool: Pool, rng: augment.Rng) -> Gray:
    chance = rng.random()
    if chance < 0.3:
        part = augment.fragment(_digit(pool, rng)[0], rng)
        if part is not None:
            return part
    if chance < 0.7:
        two = [_digit(pool, rng, only=1 if rng.random() < 0.3 else None)[0] for _ in range(2)]
        return augment.pair(two[0], two[1], rng)
    if chance < 0.85:
        return augment.ink(augment.bend(_pick(pool.letter_maps, rng), rng), rng)
    return augment.mark(rng)
