"""Digits as other regions write them, drawn with a pen: what MNIST and NIST, both American, hardly hold.

Each allograph, of `allographs.toml`, is one or more strokes through control points; every drawing moves the points a
little, so that no two are alike. Which shapes are needed was learned from what readers of American digits take for
something else: 0 small, open above, with a bar, curled in, or with a stroke before or after it; 1 with a flag, a foot,
a long lead-in or a loop, or like a slash; 2 with a loop at its foot or its head, or like a Q; 3 with a flat, wavy or
curled head; 4 open or closed, in one stroke or like an h; 5 with its flag apart or like an S, an r or a root sign; 6
like a b, or its stem apart; 7 with a bar, a hook or a loop, or like an f; 8 open above, of two rings, like a B or with
one small loop; 9 straight, looped, open, hooked, with a long tail, like a P, or like an S whose head is closed. No
foot of a 9 runs on to the right: that is a 2 with a ring for its head.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkshift.datasets.synth.augment import Rng, pack, spline, strokes

Points = Sequence[tuple[float, float]]

# digit -> allographs, each the strokes it is drawn with.
ALLOGRAPHS: dict[int, list[list[Points]]] = {
    int(digit): [[[(x, y) for x, y in stroke] for stroke in form] for form in forms]
    for digit, forms in tomllib.loads(Path(__file__).with_name("allographs.toml").read_text(encoding="utf-8")).items()
}


def draw(digit: int, rng: Rng) -> npt.NDArray[np.float32]:
    """One drawing of `digit`, 0 to 9: a distance map (64, 64) float32, see `augment.distance_map`."""
    forms = ALLOGRAPHS[digit]
    form = forms[int(rng.integers(len(forms)))]
    loose = rng.uniform(0.015, 0.06)
    moved: dict[tuple[float, float], npt.NDArray[np.float64]] = {}
    lines = []
    for points in form:
        for point in points:
            if point not in moved:
                moved[point] = np.array(point) + rng.normal(0, loose, 2)
        lines.append(np.stack([moved[point] for point in points]))
    if digit in _RUN_ON and rng.random() < 0.12:
        last = lines[-1][-1]
        lines[-1] = np.vstack([lines[-1], last + [rng.uniform(0.2, 0.55), rng.normal(-0.05, 0.12)]])
    # The same gesture with a large head and a small foot, or the other way round; then slanted, wide or narrow.
    heavy, lean, narrow = np.exp(rng.normal(0, 0.18)), rng.normal(0.03, 0.1), rng.uniform(0.55, 1.1)
    for line in lines:
        x, y = line[:, 0], np.sign(line[:, 1]) * np.abs(line[:, 1]) ** heavy
        line[:] = np.stack([(x - 0.5 + lean * (0.5 - y)) * narrow, y], 1)
    left, right = (pick([pick(line[:, 0]) for line in lines]) for pick in (min, max))
    fit = min(1.0, _ROOM / (right - left))
    for line in lines:
        line[:, 0] = 0.5 + (line[:, 0] - (left + right) / 2) * fit
    return strokes([spline(line) for line in lines], rng.uniform(1.2, 2.4))


_RUN_ON = frozenset((0, 1, 4, 6, 8))  # their last stroke may go on to the right, and none becomes another digit
_ROOM = 1.2  # widest drawing, shares of the body: what `augment.sharpen` keeps, less the pen


def bank(each: int, seed: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """`each` drawings of every digit: packed maps (10 * each, 64, 64) int8 and labels (10 * each,) int64."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(10), each)
    return np.stack([pack(draw(int(label), rng)) for label in labels]), labels
