"""Set the costs of paths and the temperature of a model's number probabilities, on composed numbers.

    python benchmarks/fit_lattice.py [--trials 100] [--write PACKAGE]

The numbers are composed from glyphs that the model was trained on (MNIST, NIST, optdigits train parts), slanted,
stretched, touching, ruled, on noisy paper: no real form and no test digit is looked at. Costs are found by random
search on one set of numbers and checked on a second; the temperature minimises the log loss on a third. --write puts
the temperature into the package; costs are copied by hand into `forms/field/decode.py`.
"""

from __future__ import annotations

import argparse
import dataclasses

import cv2
import numpy as np

from inkshift import load_model
from inkshift.datasets import catalog
from inkshift.forms.cut import segment
from inkshift.forms.cut.ink import darkness, line_ink
from inkshift.forms.field import decode, fields
from inkshift.models.package import GRAPH, WEIGHTS, Model, save_package
from inkshift.models.runtime import classifier, softmax
from inkshift.reframe import parse
from specimens import pen

Numbers = list[tuple[np.ndarray, str]]
Lattices = list[tuple[segment.Lattice, np.ndarray, str]]
STYLES = ({}, {"touch": 0.35}, {"touch": 0.1, "noise": 0.5, "rule": True}, {"noise": 0.2})


def glyph_sets() -> list[pen.Glyphs]:
    """The training digits of three sets, in MNIST's frame."""
    frame = parse("gray|light_ink|trim|square|margin(0.2)|resize(28)")
    out = []
    for name in ("mnist", "nist_emnist", "optdigits32"):
        data = catalog.load(name, "train")
        rows = np.flatnonzero(np.char.isdigit(data.labels))[-8000:]
        images = np.stack([frame(data.images[i]) for i in rows])
        out.append(pen.Glyphs(images, data.labels[rows].astype(np.uint8)))
    return out


def compose(sets: list[pen.Glyphs], count: int, seed: int) -> Numbers:
    """Pictures of numbers of 1 to 6 digits and what they show."""
    rng = np.random.default_rng(seed)
    out: Numbers = []
    for k in range(count):
        length = int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.05, 0.15, 0.35, 0.2, 0.15, 0.1]))
        text = "".join(map(str, rng.integers(0, 10, length)))
        if rng.random() < 0.25:
            text = text[0] + "0" * (length - 1)
        height = int(rng.choice([40, 64]))
        picture = pen.compose_number(text, sets[int(rng.integers(3))], rng, height=height, **STYLES[k % len(STYLES)])
        out.append((distort(picture, rng), text))
    return out


def distort(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture stretched along the line, and sheared half of the time."""
    stretch = float(np.exp(rng.normal(0.05, 0.13)))
    way = cv2.INTER_AREA if stretch < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(picture, None, fx=stretch, fy=1, interpolation=way)
    if rng.random() < 0.5:
        return picture
    shear, (h, w) = float(rng.uniform(0, 0.45)), picture.shape
    matrix = np.array([[1, -shear, shear * h], [0, 1, 0]], np.float32)
    return cv2.warpAffine(picture, matrix, (w + int(shear * h), h), borderValue=(int(np.median(picture)),))


def lattices(model: Model, numbers: Numbers) -> Lattices:
    """The lattice of each number with the model's probabilities, which no cost changes."""
    run, frame = classifier(model), model.reframing.after("trim")
    out: Lattices = []
    for picture, text in numbers:
        lattice = segment.build(fields.upright(line_ink(darkness(picture))))
        cuts = [frame(part.picture, ground=0) for part in lattice.segments]
        out.append((lattice, softmax(run(np.stack(cuts) if cuts else np.zeros((0, 28, 28), np.uint8))), text))
    return out


def right(found: Lattices, costs: decode.Costs) -> np.ndarray:
    """Which numbers are read right, (N,) bool."""
    best = [decode.decode(lattice, p, costs=costs).candidates[:1] for lattice, p, _ in found]
    return np.array([bool(c) and c[0].written == text for c, (_, _, text) in zip(best, found, strict=True)])


def log_loss(found: Lattices, temperature: float) -> float:
    """Mean of -log P(right number), with at least 0.001 for what is not among the candidates."""
    losses = []
    for lattice, p, text in found:
        given = {c.written: c.probability for c in decode.decode(lattice, p, temperature=temperature).candidates}
        losses.append(-np.log(max(given.get(text, 0.0), 1e-3)))
    return float(np.mean(losses))


def search(found: Lattices, costs: decode.Costs, trials: int) -> decode.Costs:
    """Random search: two costs at a time, each by a random factor, kept where more numbers are right."""
    rng, best = np.random.default_rng(1), right(found, costs).sum()
    names = [f.name for f in dataclasses.fields(costs)]
    for _ in range(trials):
        some = rng.choice(names, 2, replace=False)
        factor = np.exp(rng.normal(0, 0.5, 2))
        changed = {n: round(float(getattr(costs, n) * f), 3) for n, f in zip(some, factor, strict=True)}
        tried = dataclasses.replace(costs, **changed)
        score = right(found, tried).sum()
        if score > best:
            best, costs = score, tried
    return costs


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--trials", type=int, default=100)
    arguments.add_argument("--model", default="digits")
    arguments.add_argument("--write", action="store_true", help="put the temperature into the package")
    given = arguments.parse_args()
    model, sets = load_model(given.model), glyph_sets()
    fit, check, calibrate = (lattices(model, compose(sets, n, seed)) for n, seed in ((600, 7), (600, 8), (600, 9)))
    costs = search(fit, decode.COSTS, given.trials)
    for name, one in (("now", decode.COSTS), ("found", costs)):
        print(
            f"{name}: {right(fit, one).mean():.1%} of the numbers fitted on, {right(check, one).mean():.1%} of others"
        )
    print(costs)
    grid = np.round(np.exp(np.linspace(np.log(0.2), np.log(2), 12)), 3)
    losses = [log_loss(calibrate, float(t)) for t in grid]
    temperature = float(grid[int(np.argmin(losses))])
    print(f"temperature {temperature} (log loss {min(losses):.3f}; {log_loss(calibrate, 1.0):.3f} without)")
    if given.write:
        constants = model.manifest.calibration | {"number temperature": temperature}
        manifest = model.manifest.model_copy(update={"calibration": constants})
        save_package(model.folder, manifest, (model.folder / WEIGHTS).read_bytes(), (model.folder / GRAPH).read_bytes())


if __name__ == "__main__":
    main()
