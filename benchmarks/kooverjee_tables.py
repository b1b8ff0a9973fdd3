"""A published page of a study decided anew by the rules of today, from the tables beside it, its runs being gone.

    python benchmarks/kooverjee_tables.py studies/kooverjee-2020-small.toml docs/results/kooverjee-2020-small

It replaces verdicts, scores and findings in the page's `README.md`. What needs each run's readings, intervals over test
images and accuracies of classes, cannot be told from tables, and is said to be so.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from inkshift.arrays import Floats
from inkshift.files import write_whole
from inkshift.studies.characters.plan import index, plan
from inkshift.studies.record import COLUMNS
from inkshift.studies.report import compare
from inkshift.studies.report import page as report
from inkshift.studies.report.analysis import Analysis, reaches, stop_costs
from inkshift.studies.report.results import Arm, Replicate, Results, Set
from inkshift.studies.spec import Study
from inkshift.studies.stats import SHARE, SINGLE, Counts, t_interval
from kooverjee import findings, table, verdicts
from kooverjee_findings import roles
from kooverjee_rules import Unknown

UNREAD = "each run's readings were not kept"


class Published(Replicate):
    """A run of which tables tell its epochs, and of its readings only what all of its arm add up to."""

    def per_class(self) -> Floats:
        raise Unknown(UNREAD)


class Unread(compare.Resampler):
    """No interval over test images."""

    def rows(self, runs: Any) -> None:
        return None


def load(spec: Path, folder: Path) -> Results:
    """The study as its plan and the tables of its page have it."""
    study = Study.load(spec)
    assert isinstance(study, Study)
    planned = index(study, plan(study))
    epochs, about = defaultdict[tuple[str, ...], list[list[float]]](list), {}
    for row in _rows(folder, "epochs"):
        epochs[row["set"], row["regime"], row["replicate"]].append([float(row[c] or "nan") for c in COLUMNS])
    for row in _rows(folder, "runs"):
        about[row["set"], row["regime"], row["replicate"]] = row
    slugs = report.slugs_of([one["name"] for one in planned["sets"]])
    sets = []
    for item, slug in zip(planned["sets"], slugs, strict=True):
        arms = []
        for i, arm in enumerate(item["arms"], 1):
            readings = f"confusion-{slug}-{i}-{arm['regime']}-last"
            keys = [key for key in epochs if key[:2] == (item["name"], arm["regime"])]
            runs = tuple(_run(folder, np.array(epochs[key]), about[key], readings) for key in keys)
            arms.append(Arm(arm["regime"], arm["regime"], arm["settings"], len(arm["runs"]), runs))
        sets.append(Set(**{**item, "arms": tuple(arms)}))
    images = {row["data"]: {"images": int(row["images"]), "sha256": row["sha256"]} for row in _rows(folder, "data")}
    own = {name: planned[name] for name in ("name", "title", "seed", "margin", "settings", "choices")}
    return Results(**own, folder=folder, versions={}, machine="", data=images, missing=(), sets=tuple(sets))


def _run(folder: Path, epochs: Floats, about: dict[str, str], readings: str) -> Published:
    by_label = [list(row.values()) for row in _rows(folder, readings)]
    counts = np.array([row[1:] for row in by_label], np.int64)
    return Published(
        number=int(about["replicate"]),
        digest=about["digest"],
        folder=folder,
        seed=int(about["seed"]),
        stopped=about["stopped"],
        epochs=epochs[:, 0].astype(np.int64),
        **dict(zip(COLUMNS[1:], epochs.T[1:], strict=True)),
        classes=tuple(row[0] for row in by_label),
        confusions=np.broadcast_to(counts, (len(epochs), *counts.shape)),
        true=_none(),
        predicted=_none(),
        calibration=np.full(len(epochs), np.nan),
        seconds=np.full(len(epochs), np.nan),
    )


def _none() -> Counts:
    return np.zeros(0, np.int64)


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines(results: Results, given: str) -> Iterator[str]:
    """The parts of the page that are decided anew."""
    unread = Unread(results.seed, results.average)
    rows = compare.with_holm(compare.against_control(results, unread), compare.between_settings(results, unread))
    comparisons, settings = map(tuple, rows)
    analysis = Analysis(
        results, (), comparisons, settings, tuple(stop_costs(results)), tuple(reaches(results)), (), (), {}
    )
    said = [
        f"Verdicts, scores and findings were decided on {date.today()} by",
        f"`python benchmarks/kooverjee_tables.py {given}`",
        "from the tables beside this page. The runs themselves are gone, so no interval is over test images: a verdict",
        f"rests on that over replicates alone, given the {results.settings['test_images']:,} images that were read.",
    ]
    for i, line in enumerate(verdicts(analysis)):
        if i == 1:
            yield from ["", *said]
        yield line
    yield from _scores(results)
    yield from findings(results, roles(results))


def _scores(results: Results) -> Iterator[str]:
    yield from [f"## F1 on the test images, {results.average} average", ""]
    yield from ["Mean over replicates, with 95 % intervals over them.", ""]
    rows = []
    for study_set, arm in results.arms:
        measures: tuple[compare.Measure, ...] = ("chosen epoch", "last epoch", "peak")
        cells = []
        for measure in measures:
            found = [(run, compare.epoch_row(run, measure)) for run in arm.distinct]
            values = [run.f1[at] for run, at in found if at is not None]
            interval = t_interval(values, SINGLE, SHARE)
            cells += [report.f1(interval.mean), report.bounds(interval)]
        rows.append((study_set.name, arm.name, f"{len(arm.replicates)} of {arm.planned}", *cells))
    head = [name for measure in measures for name in (measure, "95 %")]
    yield from table(("set", "regime", "runs", *head), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("spec", type=Path, help="the study")
    parser.add_argument("folder", type=Path, help="its page's folder, with README.md and tables")
    given = parser.parse_args()
    path = given.folder / "README.md"
    text = path.read_text("utf-8")
    start, end = text.index("## Verdicts"), text.index("## What the paper leaves open")
    new = "\n".join(lines(load(given.spec, given.folder), f"{given.spec} {given.folder}"))
    write_whole(path, f"{text[:start]}{new}\n{text[end:]}".encode())
    print(path)


if __name__ == "__main__":
    main()
