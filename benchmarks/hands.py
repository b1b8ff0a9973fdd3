"""Numbers set from digits of writers who are in no training set: whether a new recogniser reads other hands better.

    python benchmarks/hands.py [--model numbers ...] [--count 2400] [--seed 11] [--out docs/results/hands.md]

--model: bundled packages' names or folders, read one after another on the same pictures. UNIPEN's digits, which nothing
is trained on, stand side by side, one to six in a picture, touching or up to a third of their height apart, slanted
as a hand slants, by pens of three widths on gray paper. The digits of one picture are of several writers. Needs
$INKSHIFT_DATA or ../shared/data.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.models.package import load_model
from peers_metrics import accepted_share
from printed import options, show

Gray = npt.NDArray[np.uint8]
_BODY = 40  # height of a digit, pixels


def loose_digits() -> list[tuple[Gray, str]]:
    """UNIPEN's digits, dark on white, cut tight and of one size, and what each is."""
    data = catalog.load("unipen62", "train")
    out = []
    for image, label in zip(data.images, data.labels, strict=True):
        if not str(label).isdigit():
            continue
        x, y, w, h = cv2.boundingRect(cv2.threshold(np.asarray(image), 95, 255, cv2.THRESH_BINARY)[1])
        scale = _BODY / max(h, 0.9 * w)
        size = max(3, round(w * scale)), max(3, round(h * scale))
        how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        out.append((255 - cv2.resize(np.asarray(image)[y : y + h, x : x + w], size, interpolation=how), str(label)))
    return out


def number(digits: list[tuple[Gray, str]], rng: np.random.Generator) -> tuple[Gray, str]:
    """One picture (84, W) uint8, and its digits."""
    chosen = [digits[int(i)] for i in rng.choice(len(digits), int(rng.integers(1, 7)))]
    gap, slant, pen = int(rng.integers(0, 12)), rng.normal(0.05, 0.15), int(rng.integers(1, 4))
    parts = []
    for digit, _ in chosen:
        place = np.full((64, digit.shape[1] + gap), 255, np.uint8)
        top = (64 - len(digit)) // 2 + int(rng.integers(-3, 4))
        place[top : top + len(digit), : digit.shape[1]] = digit
        parts.append(place)
    row = cv2.copyMakeBorder(np.hstack(parts), 10, 10, 35, 35, cv2.BORDER_CONSTANT, value=(255,))
    lean = np.array([[1, -slant, 42 * slant], [0, 1, 0]])
    row = cv2.warpAffine(row, lean, (row.shape[1], row.shape[0]), borderValue=(255,))
    row = cv2.erode(row, np.ones((pen, pen), np.uint8))
    scanned = row * rng.uniform(0.5, 0.9) + rng.uniform(10, 40) + rng.normal(0, 6, row.shape)
    return np.clip(scanned, 0, 255).astype(np.uint8), "".join(label for _, label in chosen)


def lines(given: argparse.Namespace) -> Iterator[str]:
    digits, rng = loose_digits(), np.random.default_rng(given.seed)
    numbers = [number(digits, rng) for _ in range(given.count)]
    yield "# Other hands"
    yield ""
    command = f"python benchmarks/hands.py --count {given.count} --seed {given.seed}"
    yield f"Printed by `{command}` on {machine()}."
    yield f"{given.count:,} numbers of one to six of UNIPEN's digits, in no training set, of several writers each."
    yield ""
    yield "| numbers composed to train on | right | wrong above 0.9 | accepted at 5 % error | at 2 % | at 1 % |"
    yield "|---|---|---|---|---|---|"
    for model in given.model:
        reader = Reader(read_as="number", model=model)
        fields = [reader.read_page(picture).fields[0] for picture, _ in numbers]
        right = np.array([field.value == label for field, (_, label) in zip(fields, numbers, strict=True)])
        sure = np.array([field.confidence for field in fields])
        shares = " | ".join(
            f"{accepted_share(sure.tolist(), right.tolist(), error):.1%}" for error in (0.05, 0.02, 0.01)
        )
        composed = load_model(model).manifest.training["numbers composed"]
        yield f"| {composed:,} | **{right.mean():.1%}** | {int((~right & (sure > 0.9)).sum())} | {shares} |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", nargs="+", default=["numbers"], help="names of bundled packages, or folders")
    parser.add_argument("--count", type=int, default=2400, help="how many numbers")
    parser.add_argument("--seed", type=int, default=11)
    given = parser.parse_args()
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
