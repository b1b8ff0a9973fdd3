"""The weights by which views, and a second reader, are weighed: fitted on composed numbers of glyphs held out.

    python benchmarks/fit_numbers.py --work FOLDER [--model numbers] [--count 1500] [--write]

FOLDER is where `inkshift model train numbers` kept its glyphs. Half of the numbers fit the constants (least negative
log-likelihood, Nelder and Mead 1965), the other half shows what they are worth; no real form is looked at. --write puts
the constants into the package.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from inkshift import Reader
from inkshift.datasets.synth import paper, strings
from inkshift.forms.field import fields, ink
from inkshift.forms.field import numbers as views_of
from inkshift.forms.field.fields import Job, seen
from inkshift.models import ctc, weigh
from inkshift.models.package import CARD, MANIFEST, card, load_model
from inkshift.models.runtime import recogniser
from inkshift.models.train import glyphs

START = {
    "number mean": 1.0,
    "number product": 0.2,
    "number floor": 1e-3,
    "spelled": 1.0,
    "second mean": 0.7,
    "second floor": 1e-2,
    "both": 0.8,
}


class Row(NamedTuple):
    """A number as it is seen: which of the texts proposed is right (-1: none), their scores (views, texts) in the views
    and to the second reader, their probability (texts,) to the model of digits."""

    right: int
    own: np.ndarray
    other: np.ndarray | None
    spelled: np.ndarray | None


def scores(given: argparse.Namespace) -> list[Row]:
    """Each number as it is seen."""
    recipe, model = glyphs.load_recipe(), load_model(given.model)
    held_out, papers = glyphs.load_glyphs(recipe, given.work, "held-out"), paper.make_papers(recipe.seed + 2)
    rng, run = np.random.default_rng([recipe.seed, 7]), recogniser(model)
    speller = Reader(read_as="number", model="digits")
    second = None
    if given.second:
        from inkshift.models import pp_ocr

        second = pp_ocr.recogniser()
    out = []
    for _ in range(given.count):
        picture, label = strings.compose_digits(held_out, papers, rng)
        crop, dark = seen(Job("", "number", picture, ink.darkness(picture), (0, 0, picture.shape[1], picture.shape[0])))
        own = run(views_of.line(crop, dark, model.reframing).pictures)
        others = second([picture]) if second else []
        spelled = fields.spelled(speller.read_page(picture).fields[0])
        beams = {t: None for view in (*own, *others) for t, _ in ctc.beam(view, (0, 20))[:4]}
        texts = list(beams | dict.fromkeys(spelled))
        right = texts.index(label) if label in texts else -1
        shares = np.array([spelled.get(text, 0.0) for text in texts])
        out.append(Row(right, ctc.score(own, texts), ctc.score(others, texts) if others else None, shares))
    return out


def loss(constants: dict[str, float], rows: list) -> float:
    """Mean negative log-probability of the right text; numbers whose right text nobody proposed count a fixed 5."""
    total = 0.0
    for row in rows:
        odds = weigh.log_odds(row.own, row.other, constants, row.spelled)
        total += 5.0 if row.right < 0 else float(np.logaddexp.reduce(odds) - odds[row.right])
    return total / len(rows)


def fit(rows: list[Row], names: list[str], fixed: dict[str, float]) -> dict[str, float]:
    """The constants called `names`, the rest as `fixed`."""
    start = np.log([START[name] for name in names])

    def cost(x: np.ndarray) -> float:
        return loss(fixed | dict(zip(names, np.exp(x), strict=True)), rows)

    bounds = [np.log((1e-5, 1.0) if name.endswith("floor") else (0.05, 20)) for name in names]
    options = {"maxiter": 160, "xatol": 0.02, "fatol": 1e-5}
    found = minimize(cost, start, method="Nelder-Mead", bounds=bounds, options=options)
    return fixed | {name: round(float(v), 5) for name, v in zip(names, np.exp(found.x), strict=True)}


def second_alone(row: Row) -> Row:
    assert row.other is not None
    return Row(row.right, np.zeros((1, row.other.shape[1])), row.other, None)


def told(rows: list[Row], constants: dict[str, float]) -> str:
    """Accuracy, mean confidence and calibration error (10 bins of equal mass) of rows."""
    sure, right = [], []
    for row in rows:
        odds = weigh.log_odds(row.own, row.other, constants, row.spelled)
        best = int(odds.argmax())
        sure.append(float(np.exp(odds[best] - np.logaddexp.reduce(odds))))
        right.append(best == row.right)
    order = np.argsort(sure)
    bins = np.array_split(order, 10)
    error = sum(len(b) * abs(np.mean(np.array(sure)[b]) - np.mean(np.array(right)[b])) for b in bins) / len(order)
    return f"right {np.mean(right):.4f}, mean confidence {np.mean(sure):.4f}, calibration error {error:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="numbers")
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--second", action="store_true", help="fit the second reader's weight too")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    rows = scores(given)
    learn, test = rows[::2], rows[1::2]
    alone = [row._replace(other=None) for row in learn]
    constants = fit(alone, ["number mean", "number product", "number floor", "spelled"], {})
    one = [row._replace(own=row.own[:1], other=None, spelled=None) for row in test]
    print("one view, held out:", told(one, constants))
    print("all views, held out:", told([row._replace(other=None, spelled=None) for row in test], constants))
    print("spelled by digits too, held out:", told([row._replace(other=None) for row in test], constants))
    if given.second:
        # Each reader's probabilities are made right by themselves and then multiplied: fitted together, the weights
        # would trust ours for being at home among composed numbers, where the other is a guest. That they err together
        # now and then is then taken off both alike.
        constants = fit([second_alone(row) for row in learn], ["second mean", "second floor"], constants)
        print("the second reader alone, held out:", told([second_alone(row) for row in test], constants))
        constants = fit(learn, ["both"], constants)
        print("with the second reader, held out:", told(test, constants))
    print(json.dumps(constants))
    if given.write:
        model = load_model(given.model)
        manifest = model.manifest.model_copy(update={"calibration": model.manifest.calibration | constants})
        (model.folder / MANIFEST).write_text(json.dumps(manifest.model_dump(), indent=2) + "\n", encoding="utf-8")
        (model.folder / CARD).write_text(card(manifest), encoding="utf-8")


if __name__ == "__main__":
    main()
