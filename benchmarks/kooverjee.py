"""The paper's findings held against a study of its three sets: one page with its figures and tables.

    python benchmarks/kooverjee.py runs/kooverjee-2020-small --out docs/results/kooverjee-2020-small

Every number on the page comes from the study's folder, but for those in the paper's own words. No picture of the data
is copied. Sets are told by their tasks and settings, so any study of the paper's sets will do, finished or not.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from inkshift import jobs
from inkshift.files import write_whole
from inkshift.studies.report import page as report
from inkshift.studies.report.analysis import Analysis, analyse, states
from inkshift.studies.report.compare import Comparison
from inkshift.studies.report.figures import ReportFigure, pictures
from inkshift.studies.report.results import Results, StudyResults, load
from inkshift.studies.report.tables import tables, write_tables
from kooverjee_findings import CLAIMS, Arms, held_together, judge, main_set, reasons, roles
from kooverjee_questions import questions
from kooverjee_rules import Answer

PAPER = (
    "N. Kooverjee, S. James and T. van Zyl (2020), Inter- and Intra-domain Knowledge Transfer for Related Tasks in "
    "Deep Character Recognition"
)
TITLES = {"1": "set 1, MNIST to NIST digits", "2": "set 2, MNIST to NIST digits and characters"}
TITLES["3"] = "set 3, NIST digits to NIST characters"


def write(folder: Path, out: Path) -> Path:
    """Write `README.md`, `figures/` and `tables/` of the study in `folder` to `out`; the page's path.

    To keep it small: no confusion matrix as a figure but the page's own, and no table of each class in each epoch,
    which the report of `inkshift study report` has.
    """
    analysis = analyse(load(folder))
    slugs = report.slugs_of([study_set.name for study_set in analysis.results.sets])
    drawn = [
        one for one in pictures(analysis.results, slugs) if one.kind != "confusion" or _shown(analysis.results, one)
    ]
    for picture in drawn:
        write_whole(out / "figures" / f"{picture.name}.svg", picture.svg)
        write_whole(out / "figures" / f"{picture.name}.png", picture.png)
    write_tables(tables(analysis, slugs), out / "tables")
    (out / "tables" / "per_class.csv").unlink()
    path = out / "README.md"
    write_whole(path, ("\n".join(page(analysis, drawn, f"{folder} --out {out}")) + "\n").encode("utf-8"))
    return path


def page(analysis: Analysis, drawn: Sequence[ReportFigure], given: str) -> Iterator[str]:
    """The page's lines. given: what the command was called with."""
    results = analysis.results
    arms = roles(results)
    yield from head(results, given)
    yield from missing(results)
    yield from verdicts(analysis)
    yield from _scores(analysis)
    yield from findings(results, arms)
    yield from ["## What the paper leaves open", ""]
    for number, question, answer in questions(analysis, arms):
        yield from [f"**{number}. {question}** {answer}", ""]
    yield from _figures(results, drawn)
    yield from choices(results)


def head(
    results: StudyResults,
    given: str,
    script: str = "kooverjee.py",
    about: str = f"The three sets of {PAPER}, run as a study.",
) -> Iterator[str]:
    spec = Path("studies") / f"{results.name}.toml"
    yield from [f"# {results.title}", "", *([about, ""] if about else [])]
    unit = "F1" if isinstance(results, Results) else "the share read right"
    run = f"`inkshift study run {spec}`" if spec.is_file() else "`inkshift study run SPEC`"
    rows = [
        ("run by", run),
        ("this page by", f"`python benchmarks/{script} {given}`"),
        *_times(results.folder),
        ("machine", results.machine),
        ("versions", ", ".join(f"{name} {version}" for name, version in results.versions.items())),
        ("seed, margin", f"{results.seed}; {results.margin:g} of {unit}"),
    ]
    if isinstance(results, Results):
        rows.append(("digest of the outcome", digest(results) or "none, since runs are missing"))
    yield from table(("", ""), rows)


def _times(folder: Path) -> Iterator[tuple[str, str]]:
    begun = [path.stat().st_mtime for path in (folder / "runs").glob("*/config.json")]
    ended = [path.stat().st_mtime for path in (folder / "runs").glob("*/done.json")]
    if begun and ended:
        first, last = (datetime.fromtimestamp(one, UTC) for one in (min(begun), max(ended)))
        hours = (last - first).total_seconds() / 3600
        days = " to ".join(dict.fromkeys(one.date().isoformat() for one in (first, last)))
        yield "dates of the runs", days
        yield "time", f"{hours:.1f} hours from the first run's start to the last one's end, pauses included"


def digest(results: Results) -> str | None:
    """The study's digest as `inkshift study run` prints it, or None while a run or source network is missing."""
    if results.missing:
        return None
    try:
        used = {run.digest: run.folder for s in results.sets for arm in s.arms for run in arm.replicates}
        for folder in list(used.values()):
            source = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("source")
            if source:
                used[source] = folder.parent / source
        outcomes = {key: json.loads((path / "done.json").read_text(encoding="utf-8")) for key, path in used.items()}
    except OSError:
        return None
    return jobs.digest(*sorted(f"{key} {done['digest']}" for key, done in outcomes.items()))


def missing(results: Results) -> Iterator[str]:
    planned, finished = sum(arm.planned for s in results.sets for arm in s.arms), states(results)["finished"]
    if not results.missing:
        yield from [f"All {planned} planned runs are finished.", ""]
        return
    yield from [
        f"> **Not complete: {finished} of {planned} planned runs are finished.** What follows rests on these.",
        "",
    ]
    rows = [
        (one.set or "source networks", one.arm, one.replicates, one.state, one.error) for one in report.lost(results)
    ]
    yield from table(("set", "regime", "replicates", "state", "why"), rows)


def verdicts(analysis: Analysis) -> Iterator[str]:
    margin = f"{100 * analysis.results.margin:g}"
    yield from ["## Verdicts", "", "F1 in points, paired by replicate. Chosen epoch: that of lowest validation loss;"]
    yield "peak: the best epoch of each run on the test images, as the paper reads its curves."
    yield f"Alike: both 90 % intervals, over replicates and over test images, within ±{margin}. Holm: the verdict with"
    yield from ["the chance of one wrong verdict among all main comparisons held at 5 %.", ""]
    rows = [
        _verdict(row)
        for row in (*analysis.comparisons, *analysis.settings)
        if row.measure in ("chosen epoch", "last epoch", "peak")
    ]
    names = ("difference", "90 % over replicates", "90 % over images", "pairs", "verdict", "Holm", "note")
    yield from table(("set", "comparison", "at", *names), rows)


def _verdict(row: Comparison) -> tuple[str, ...]:
    other = row.baseline if row.baseline_set == row.set else f"{row.baseline} of {row.baseline_set}"
    note = "; ".join(part for part in (row.setting, row.note) if part)
    interval = row.interval
    ends = (report.gap(interval.mean), report.bounds(interval, True), report.bounds(row.images, True), str(interval.n))
    said = (f"**{row.verdict}**", row.holm or report.NONE)
    return row.set, f"{row.arm} − {other}", row.measure, *ends, *said, note


def _scores(analysis: Analysis) -> Iterator[str]:
    yield from [f"## F1 on the test images, {analysis.results.average} average", ""]
    names = ("last epoch", "95 % over replicates", "95 % over images", "peak of the mean curve", "its epoch")
    rows = [
        (
            *(row.set, row.arm.name, f"{len(row.arm.replicates)} of {row.arm.planned}", report.f1(row.last.mean)),
            *(report.bounds(row.last), report.bounds(row.images), report.f1(row.curve_peak[0]), str(row.curve_peak[1])),
        )
        for row in analysis.summaries
    ]
    yield from table(("set", "regime", "runs", *names), rows)


def findings(results: Results, arms: Arms) -> Iterator[str]:
    answers = {claim.number: judge(claim, results, arms) for claim in CLAIMS}
    count = Counter(answer.holds for answer in answers.values())
    yield from ["## The paper's findings, one by one", ""]
    why = "at this size, or since runs are missing" if results.missing else "at this size"
    yield (
        f"Of {len(CLAIMS)} findings {count['yes']} hold, {count['no']} do not, and of {count['cannot be told']} it "
        f"cannot be told {why}. Each is decided by a rule fixed in code, below. Differences are in points, with 90 % "
        "intervals over replicates; “at the peak” is the best epoch of each run on the test images, as the paper reads "
        "its curves, so it favours whoever runs for more epochs or varies more. Holm: the answer with the chance of "
        "one wrong answer among all of them held at 5 %."
    )
    yield ""
    rows = [
        (c.number, f"{c.says} ({c.section})", answers[c.number].ours, _bold(answers[c.number]), left)
        for c, left in zip(CLAIMS, held_together(results, arms), strict=True)
    ]
    yield from table(("", "the paper", "ours", "holds?", "Holm"), rows)
    yield from _differing(results, answers)
    yield from ["### The rules", "", "Where half of an arm's runs or more are missing, nothing is decided.", ""]
    for words in dict.fromkeys(claim.rule.words for claim in CLAIMS):
        numbers = ", ".join(claim.number for claim in CLAIMS if claim.rule.words == words)
        yield f"- {numbers}: {words}"
    yield ""


def _bold(answer: Answer) -> str:
    return f"**{answer.holds}**" if answer.holds == "no" else answer.holds


def _differing(results: Results, answers: dict[str, Answer]) -> Iterator[str]:
    """For each finding that does not hold, where this study departs from the paper."""
    differ = [claim for claim in CLAIMS if answers[claim.number].holds == "no"]
    if not differ:
        return
    known = reasons(results)
    named = {claim.number: [name for name in claim.reasons.split() if name in known] for claim in differ}
    yield from [
        "### Where ours differs",
        "",
        "Possible reasons; none of them was tested here apart from the others.",
        "",
    ]
    yield from (f"- *{name}*: {text}." for name, text in known.items() if any(name in one for one in named.values()))
    yield ""
    for number, names in named.items():
        yield f"- {number}: {' or '.join(f'*{name}*' for name in names) or 'no reason is known'}."
    yield ""


def _figures(results: Results, drawn: Sequence[ReportFigure]) -> Iterator[str]:
    yield from [
        "## Figures",
        "",
        "Also in `figures`, as SVG and PNG; the numbers are in `tables`.",
        "",
    ]
    by_set = {number: study_set.name for number in TITLES if (study_set := main_set(results, number))}
    wanted: list[tuple[str, str, str | None]]
    wanted = [(f"F1 by epoch, {TITLES[number]}", "f1", name) for number, name in by_set.items()]
    wanted.append(("Accuracy of each class, set 2 (figure 4)", "per-class", by_set.get("2")))
    wanted.append(("Frozen networks of all sets (figure 6)", "frozen", ""))
    wanted.append(("What control takes for what, set 2", "confusion", by_set.get("2")))
    for title, kind, name in wanted:
        for picture in drawn:
            if (picture.kind, picture.set) == (kind, name) and (kind != "confusion" or _shown(results, picture)):
                yield from [f"### {title}", "", f"![{picture.alt}](figures/{picture.name}.svg)", ""]


def _shown(results: Results, confusion: ReportFigure) -> bool:
    """Whether a confusion matrix is that of set 2's control."""
    main = main_set(results, "2")
    return main is not None and confusion.set == main.name and confusion.name.endswith("-control")


def choices(results: Results) -> Iterator[str]:
    yield from ["## Our choices", "", "All settings; those that the paper leaves unsaid are marked.", ""]
    rows = [
        (name, f"`{value}`", "unsaid in the paper" if name in results.choices else "")
        for name, value in results.settings.items()
    ]
    yield from table(("setting", "value", ""), rows)
    own = [(s.name, "all", s.settings) for s in results.sets] + [
        (s.name, arm.name, arm.settings) for s in results.sets for arm in s.arms
    ]
    rows = [
        (name, arm, f"{key} `{value}`")
        for name, arm, settings in own
        for key, value in settings.items()
        if f"{key} {value}" not in arm  # a regime of several is called by what is its own
    ]
    if rows:
        yield from table(("set", "regime", "its own setting"), rows)
    facts = [(name, f"{item.get('images', 0):,}", f"`{item.get('sha256', '')}`") for name, item in results.data.items()]
    yield from table(("data", "images", "SHA-256 of pixels and labels"), facts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="the study's folder; nothing is written there")
    parser.add_argument("--out", type=Path, required=True, help="folder for the page, its figures and tables")
    given = parser.parse_args()
    print(write(given.folder, given.out))


if __name__ == "__main__":
    main()
