"""What the characters that PP-OCRv6 sees in hand-written numbers stand for, counted on composed numbers.

    python benchmarks/fit_pp_ocr.py --work FOLDER [--count 1600] [--write]

FOLDER is where `inkshift model train numbers` kept its glyphs. PP-OCRv6 knows 18,708 characters; where it sees a
point, a cross or an O, the number goes on, or there is a 0. Each composed number of glyphs held out is aligned with
its label, and the probability of each character is added up by the digit, or the nothing, that is written there. Half
of the numbers are counted, the other half shows what it is worth beside striking all other characters out; then all
are. No real form is looked at. --write puts the table beside the code.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench_read import machine
from inkshift.datasets.synth import paper, strings
from inkshift.models import ctc, pp_ocr
from inkshift.models.train import glyphs

LEAST = 5.0
"""A character counts from so much probability on, added up over all numbers."""

FAINT = 2e-3


@dataclass(frozen=True)
class Seen:
    """A number: its label, the model's probabilities (T, 11) of digits and blank, and of what else it sees: step,
    class, probability."""

    label: str
    kept: np.ndarray
    others: tuple[np.ndarray, np.ndarray, np.ndarray]


def look(given: argparse.Namespace) -> tuple[list[str], list[Seen]]:
    """The model's classes, and what it sees in composed numbers."""
    recipe = glyphs.load_recipe()
    held_out, papers = glyphs.load_glyphs(recipe, given.work, "held-out"), paper.make_papers(recipe.seed + 2)
    session = pp_ocr._session(pp_ocr.model_file())
    known, name = pp_ocr.characters(session), session.get_inputs()[0].name
    columns = [known.index(c) for c in (*"0123456789", "")]
    rng = np.random.default_rng([recipe.seed, 17])
    out = []
    for _ in range(given.count):
        picture, label = strings.compose_digits(held_out, papers, rng)
        widths = pp_ocr._widths(*picture.shape[:2])
        output = session.run(None, {name: pp_ocr._field(picture, *widths)[None]})[0][0]
        kept = output[:, columns]
        output[:, columns] = 0
        steps, classes = np.nonzero(output > FAINT)
        out.append(Seen(label, kept, (steps, classes, output[steps, classes])))
    return known, out


def count(known: Sequence[str], numbers: Sequence[Seen]) -> dict[str, list[float]]:
    """For each character that is seen often enough, the share of each digit, and of nothing, written there."""
    totals = np.zeros((len(known), 11))
    for seen in numbers:
        written = np.full(len(seen.kept), ctc.BLANK)
        spans = ctc.align(pp_ocr._scaled(seen.kept.copy()), seen.label) if seen.label else []
        for digit, (first, last) in zip(seen.label, spans, strict=bool(spans)):
            written[first : last + 1] = int(digit)
        if spans or not seen.label:
            steps, classes, probability = seen.others
            np.add.at(totals, (classes, written[steps]), probability)
    often = np.flatnonzero(totals.sum(1) >= LEAST)
    return {known[c]: [round(float(v), 3) for v in totals[c] / totals[c].sum()] for c in often}


def right(known: Sequence[str], numbers: Sequence[Seen], meanings: Mapping[str, Sequence[float]]) -> float:
    """Share of numbers whose likeliest text is the label."""
    meaning = pp_ocr._meaning(known, meanings)
    good = 0
    for seen in numbers:
        kept = seen.kept.copy()
        steps, classes, probability = seen.others
        np.add.at(kept, steps, probability[:, None] * meaning[classes])
        good += ctc.beam([pp_ocr._scaled(kept)], (0, 20))[0][0][0] == seen.label
    return good / len(numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder with the glyphs")
    parser.add_argument("--count", type=int, default=1600)
    parser.add_argument("--write", action="store_true", help="put the table beside the code")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    known, numbers = look(given)
    half = len(numbers) // 2
    print(f"{machine()}; {half} composed numbers counted, {len(numbers) - half} judged")
    print(f"all other characters struck out: {right(known, numbers[half:], {}):.1%} right")
    print(f"counted as what they stand for:  {right(known, numbers[half:], count(known, numbers[:half])):.1%} right")
    meanings = count(known, numbers)
    for character, shares in meanings.items():
        best = int(np.argmax(shares))
        print(f"  {character!r}: {'nothing' if best == ctc.BLANK else best} {shares[best]:.0%}")
    if given.write:
        note = f"benchmarks/fit_pp_ocr.py, {given.count} composed numbers, {machine()}"
        rows = ",\n".join(f"    {json.dumps(c)}: {json.dumps(shares)}" for c, shares in meanings.items())
        text = f'{{\n  "made by": {json.dumps(note)},\n  "meanings": {{\n{rows}\n  }}\n}}\n'
        pp_ocr.MEANINGS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
