"""Does the interval that `inkshift advise` gives hold what a larger study measures? On real sets of digits.

    python benchmarks/advise.py [--sets ufpr dida swiss orand_car_a] [--labels 200] [--out docs/results/advise.md]

Of each set some images are taken as the user's labels; of writers that are known, from some of them, the others being
tested on. Each way of learning is then trained on all of these labels and read over the rest of the set.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import chain, combinations
from pathlib import Path

import numpy as np

from inkshift.cli.study import lines
from inkshift.datasets.formats import LabelledImages
from inkshift.datasets.tasks import load_all, nested
from inkshift.models.package import load_model
from inkshift.models.train import loop
from inkshift.reframe import parse
from inkshift.studies.characters import advise
from inkshift.studies.engine import machine
from inkshift.studies.stats import PAIRED, Counts, scipy

Predicted = tuple[dict[str, float], float]  # what scores said of a source before training, and what it gained

MOST_TESTED = 3000
MOST_WRITERS = 12  # up to which every way to deal them is gone through


def rows_of(data: LabelledImages, rows: Counts) -> LabelledImages:
    writers = None if data.writers is None else data.writers[rows]
    return LabelledImages([data.images[int(i)] for i in rows], data.labels[rows].astype(str), data.name, writers)


def learned_from(writers: int) -> int:
    """Of so many writers, those whose images are the user's."""
    return writers * 5 // 8


def dealt(data: LabelledImages, labels: int, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """The user's labels, and the rest: of other writers, where these are known and enough."""
    rng = np.random.default_rng(seed)
    mine = np.ones(len(data.labels), bool)
    if data.writers is not None and len(np.unique(data.writers)) >= 8:
        hands = rng.permutation(np.unique(data.writers))
        mine = np.isin(data.writers, hands[: learned_from(len(hands))])
    pool = np.flatnonzero(mine)
    classes = np.unique(data.labels, return_inverse=True)[1]
    chosen = pool[nested(classes[pool], rng)[:labels]]
    rest = np.setdiff1d(np.arange(len(mine)), chosen) if mine.all() else np.flatnonzero(~mine)
    return rows_of(data, np.sort(chosen)), rows_of(data, np.sort(rng.permutation(rest)[:MOST_TESTED]))


def measure(name: str, labels: int, replicates: int, runs: int, seed: int, predicted: list[Predicted]) -> Iterator[str]:
    """The lines on one set; what scores said of each source is added to `predicted`."""
    data = load_all(name)
    own, rest = dealt(data, labels, seed)
    models = [load_model(model) for model in ("digits", "mnist-as-published")]
    start = time.process_time()
    found = advise.advise(own, models, replicates=replicates, seed=seed, tell=lambda text: None)
    taken = time.process_time() - start
    by_name = {model.manifest.name: model for model in models}
    true = np.searchsorted(found.classes, rest.labels)
    yield f"## {name}"
    yield ""
    yield f"{len(own.labels)} labels, tested on {len(rest.labels):,} other images; {taken:.0f} s of one core."
    yield ""
    yield from (f"> {line}" for line in lines(found, 0.95, "LABELLED", {}))
    yield ""
    yield "| way | expected of all labels | 90 % | measured on the rest | inside |"
    yield "|---|---|---|---|---|"
    on_rest: dict[str, float] = {}
    for one in found.measured:
        model = by_name.get(one.way.source)
        framing = parse(advise.protocol(model).reframing)
        train, test = (np.stack([framing(image) for image in part.images]) for part in (own, rest))
        known = np.asarray(np.searchsorted(found.classes, own.labels), np.int64)
        scores = []
        for run in range(1 if one.way.regime == "as-is" else runs):
            if one.way.regime == "as-is" and model is not None:
                read = advise.read_as_is(model, found.classes, test)
            else:
                net = advise.learn(one.way, model, found.classes, train, known, 1000 + run)
                read = loop.predict(net, test).argmax(axis=1)
            scores.append(float((read == true).mean()))
        interval, score = one.expected(len(own.labels)), float(np.mean(scores))
        on_rest[str(one.way)] = score
        assert interval.low is not None and interval.high is not None
        inside = "yes" if interval.low <= score <= interval.high else "**no**"
        span = f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
        yield f"| {one.way} | {100 * interval.mean:.1f} | {span} | {100 * score:.1f} | {inside} |"
    predicted += [
        (said, on_rest[f"frozen from {source}"] - on_rest["control"]) for source, said in found.scores.items()
    ]
    yield ""
    yield from of_writers(data, own, rest, labels)


def told_before(predicted: Sequence[Predicted]) -> Iterator[str]:
    """How well each score, which needs no training, told what a frozen source gains over control: Spearman's rank
    correlation over all sources and sets, with an interval by Fisher's z (Fieller, Hartley and Pearson 1957)."""
    if len(predicted) < 5:
        return
    stats, special = scipy("stats"), scipy("special")
    yield from ["## Do scores before training tell the gain?", ""]
    yield f"Rank correlation of each with the gain of frozen over control on the rest, {len(predicted)} pairs of both."
    yield from ["", "| score | rank correlation | 90 % |", "|---|---|---|"]
    gains = [gain for _, gain in predicted]
    for name in [name for name in predicted[0][0] if all(name in said for said, _ in predicted)]:
        values = [said[name] for said, _ in predicted]
        if len({round(value, 6) for value in values}) == 1:
            yield f"| {name} | none: it is the same for all | |"
            continue
        r = float(stats.spearmanr(values, gains).statistic)
        half = float(special.ndtri(0.5 + PAIRED / 2)) * np.sqrt(1.06 / (len(predicted) - 3))
        low, high = np.tanh(np.arctanh(np.clip(r, -0.999, 0.999)) + np.array([-half, half]))
        yield f"| {name} | {r:+.2f} | {low:+.2f} to {high:+.2f} |"
    yield ""


def of_writers(data: LabelledImages, own: LabelledImages, rest: LabelledImages, labels: int) -> Iterator[str]:
    """What the deal of a few writers does by itself, shown by `digits` as it is, which learns from none of them.

    The intervals are of the share among all writers; that of the few who are left to test on differs from it.
    """
    every = np.unique(data.writers) if data.writers is not None else np.zeros(0)
    if not 8 <= len(every) <= MOST_WRITERS:
        return
    model = load_model("digits")
    framing, classes = parse(model.manifest.reframing), tuple(sorted(set(data.labels.astype(str).tolist())))
    true = np.asarray(np.searchsorted(classes, data.labels.astype(str)), np.int64)
    wrong = advise.read_as_is(model, classes, np.stack([framing(image) for image in data.images])) != true

    def share(hands: Counts) -> float:
        return float(1 - wrong[np.isin(data.writers, hands)].mean())

    mine, tested = np.unique(own.writers), np.unique(rest.writers)
    gap = abs(share(mine) - share(tested)) - 1e-9
    deals = [np.array(hands) for hands in combinations(every, learned_from(len(every)))]
    as_far = holds = holds_all = 0
    for i, hands in enumerate(deals):
        pool = np.flatnonzero(np.isin(data.writers, hands))
        rows = pool[nested(true[pool], np.random.default_rng(i))[:labels]]
        groups = np.searchsorted(hands, data.writers[rows])
        held = groups == np.arange(len(hands))[:, None]
        one = advise.StrategyTrial(
            advise.Strategy("as-is", "digits"), rows[:1], (wrong[rows] & held)[None], held, groups
        )
        low, high = one.expected(labels).low or 0, one.expected(labels).high or 0
        left = share(np.setdiff1d(every, hands))
        as_far += abs(share(hands) - left) >= gap
        holds += low <= left <= high
        holds_all += low <= share(every) <= high
    by_writer = [", ".join(f"{100 * share(hand):.1f}" for hand in hands) for hands in (mine, tested)]
    few, of = len(tested), len(every)
    yield f"All ways are tested on the same {few} writers, so the rows stand or fall together. As it is, `digits` reads"
    yield f"of each writer, in %: labelled {by_writer[0]}; tested {by_writer[1]}."
    yield f"Of all {len(deals)} ways to deal the {of} writers {as_far} set the two parts as far apart or farther. The"
    yield f"interval of this way holds the share of all {of} writers in {holds_all}, that of those left out in {holds}:"
    yield from ["it is one of writers in general, not of the few who are tested.", ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["ufpr", "dida", "swiss", "orand_car_a"])
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--replicates", type=int, default=5)
    parser.add_argument("--runs", type=int, default=2, help="networks of each way that are measured on the rest")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    options = (
        f"--sets {' '.join(given.sets)} --labels {given.labels} --replicates {given.replicates} --runs {given.runs}"
    )
    given_by = f"`python benchmarks/advise.py {options} --seed {given.seed}`"
    text = [
        "# Does advice hold what a larger study measures?",
        "",
        f"Printed by {given_by} on {date.today()}, {machine()}.",
        "Share of digits read right, in %. Not quiet: seconds are of processor time.",
        "",
    ]
    predicted: list[Predicted] = []
    parts = [measure(name, given.labels, given.replicates, given.runs, given.seed, predicted) for name in given.sets]
    for line in chain(*parts, told_before(predicted)):
        print(line, flush=True)
        text.append(line)
    if given.out:
        given.out.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
