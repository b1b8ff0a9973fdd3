"""Digits as other regions write them, drawn with a pen: what MNIST and NIST, both American, hardly hold.

Each allograph, of `allographs.toml`, is one or more strokes through control points; every drawing moves the points a
little, so that no two are alike. Which shapes are needed was learned from what readers of American digits take for
something else: 1 with a flag, a foot or a long lead-in; 2 with a loop at its foot or its head; 4 open or closed; 5 with
its flag apart or like an S or an r; 7 with a bar or a hook; 8 open above; 9 straight, looped, curled or like a P.
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
    narrow = rng.uniform(0.55, 1.1)
    moved: dict[tuple[float, float], npt.NDArray[np.float64]] = {}
    lines = []
    for points in form:
        for point in points:
            if point not in moved:
                moved[point] = np.array(point) + rng.normal(0, loose, 2)
        line = np.stack([moved[point] for point in points])
        line[:, 0] = 0.5 + (line[:, 0] - 0.5) * narrow
        lines.append(spline(line))
    return strokes(lines, rng.uniform(1.2, 2.4))


def bank(each: int, seed: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """`each` drawings of every digit: packed maps (10 * each, 64, 64) int8 and labels (10 * each,) int64."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(10), each)
    return np.stack([pack(draw(int(label), rng)) for label in labels]), labels
