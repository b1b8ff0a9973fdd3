"""Reading in the wild, measured: pages in every situation, read right, refused, or wrong with confidence.

    python benchmarks/wild.py [--pages 2000] [--seed 12] [--kinds NAME ...] [--pictures FOLDER] [--journal FILE]

Run by `make bench-wild`. Pages are made on the fly (wild_forms.py, wild_pages.py) and read as files by the product's
own door, `Reader.read`. Real pages need $INKSHIFT_DATA or ../shared/data; without it the drawn forms alone are read,
and that is said. --pictures is a folder for sheets of the pages as they were made, and of what went wrong, to look at.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.stats import binomtest

import inkshift
import wild_pages
import wild_sheets
from bench_read import machine
from inkshift import Reader, jobs
from inkshift.errors import DataError
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reading import FieldReading, FormReading
from inkshift.forms.template import Template
from printed import options, show
from wild_forms import INKS, PRINTS, Form, drawn_forms, is_right, real_forms, siblings, template_of
from wild_pages import REFUSE, ROADS, Made, Task, Truth

SURE = 0.9
PLAIN = ("written", "blank", "crossed-out")
GOAL_WRONG, GOAL_REFUSED = 0.001, 0.03
_BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)


@dataclass(slots=True)
class Outcome:
    """How one page went.

    fields: that are whole on the page (or, not being on it, were read with confidence). sure: read right above 0.9;
    right: at any confidence; wrong: wrong above 0.9, in a plain state; astray: read above 0.9 in another field's place.
    refused: the page as a whole. lies: whether each of its fields lies within a third of its height of its true place;
    quality: what the reader says of that. crashed: whether reading ended in a fault of ours.
    """

    task: Task
    fields: int = 0
    sure: int = 0
    right: int = 0
    wrong: int = 0
    astray: int = 0
    refused: bool = False
    crashed: bool = False
    lies: bool = False
    quality: float | None = None
    error: str = ""
    failures: list[str] = field(default_factory=list)


# -- judging a page --------------------------------------------------------------------------------------------------


def judge(task: Task, made: Made, form: Form, read: Sequence[FormReading]) -> Outcome:
    """Compare what was read of a picture with what is on it. Of two pages on it, each reading goes with the nearer."""
    out = Outcome(task)
    out.error = next((error for reading in read for error in reading.errors), "")
    out.crashed = "reading failed" in out.error or "died" in out.error
    fields = [item for reading in read for item in reading.fields]
    out.refused = not fields
    out.quality = min((n.quality for r in read for n in r.pages if n.quality is not None), default=None)
    if not made.truths:
        out.fields = len(form.page.fields)
        for item in fields:
            if _sure(item):
                out.wrong += 1
                out.failures.append(f"{item.name}: nothing of this form, came {_told(item)}")
        return out
    for reading in read:
        _judge_fields(out, min(made.truths, key=lambda truth: _farthest(truth, form, reading)), form, reading)
    if not fields:
        out.fields = int(made.truths[0].whole.sum())
    return out


def _judge_fields(out: Outcome, truth: Truth, form: Form, reading: FormReading) -> None:
    came = {item.name: item for item in reading.fields}
    if not came:
        return
    middles, out.lies = truth.quads.mean(1), _farthest(truth, form, reading) <= 1 / 3
    for k, spec in enumerate(form.page.fields):
        item, written = came.get(spec.name), truth.written[spec.name]
        right = item is not None and is_right(item, written, spec.cells)
        sure = item is not None and _sure(item)
        if not truth.whole[k] and not sure:
            continue
        out.fields += 1
        out.right += right
        out.sure += right and sure
        if item is None or not sure:
            continue
        near = int(np.linalg.norm(middles - _middle(item), axis=1).argmin()) if item.box else k
        out.astray += near != k
        if not right:
            out.wrong += 1
            place = f" in the place of {form.page.fields[near].name}" if near != k else ""
            out.failures.append(f"{spec.name}: {written or 'blank'}, came {_told(item)}{place}")


def _sure(item: FieldReading) -> bool:
    return item.confidence > SURE and item.state in PLAIN


def _told(item: FieldReading) -> str:
    return f"{item.value or item.state} {item.confidence:.2f}"


def _middle(item: FieldReading) -> np.ndarray:
    assert item.box
    return np.array([(item.box[0] + item.box[2]) / 2, (item.box[1] + item.box[3]) / 2])


def _farthest(truth: Truth, form: Form, reading: FormReading) -> float:
    """How far the field that lies worst is from its true place, in heights of a field; of those on the picture. Without
    limit where none is: a page of which nothing is seen is not the one that was read.
    """
    if not truth.whole.any():
        return np.inf
    worst = 0.0
    for k, spec in enumerate(form.page.fields):
        box = next((item.box for item in reading.fields if item.name == spec.name), None)
        if box is None or not truth.whole[k]:
            continue
        quad = truth.quads[k]
        true = np.concatenate([quad.min(0), quad.max(0)])
        high = 0.5 * (np.linalg.norm(quad[2] - quad[0]) + np.linalg.norm(quad[3] - quad[1]))
        worst = max(worst, float(np.abs(true - box).max() / high))
    return worst if reading.fields else np.inf


# -- reading ---------------------------------------------------------------------------------------------------------


@cache
def _forms() -> tuple[dict[str, Form], dict[str, Form]]:
    """The forms, and the drawn ones' siblings."""
    try:
        real = real_forms()
    except DataError:
        real = {}
    return {**drawn_forms(), **real}, siblings()


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="wild-")


@lru_cache(maxsize=10)
def _reader(name: str, road: str, style: str) -> Reader:
    """A reader of the form by one of `ROADS`."""
    form = _forms()[0][name]
    folder = Path(_folder().name) / f"{name}-{road}-{style}".replace(" ", "-")
    folder.mkdir(exist_ok=True)
    template: Template = template_of(form, style)
    if road == "as is":
        # What the bundled telegram is known by is not looked at here.
        page = template.pages[0].model_copy(update={"reference": None})
        template = template.model_copy(update={"pages": (page,)})
    else:
        cv2.imwrite(str(folder / "blank.png"), form.blank(style)[..., ::-1])
        bare = {"marks": (), "lines": ()} if road == "reference" else {}
        page = template.pages[0].model_copy(update={"reference": "blank.png", **bare})
        template = template.model_copy(update={"pages": (page,)})
    (folder / "template.json").write_text(template.model_dump_json(exclude_unset=True), encoding="utf-8")
    return Reader(folder / "template.json")


def save(made: Made, folder: Path, seed: Sequence[int]) -> Path:
    """The picture as a scanner would save it: a JPEG, or of one bit a PNG."""
    name = "page-" + "-".join(map(str, seed))
    if made.picture.ndim == 2:
        path = folder / f"{name}.png"
        cv2.imwrite(str(path), made.picture, [cv2.IMWRITE_PNG_BILEVEL, 1])
        return path
    path = folder / f"{name}.jpg"
    cv2.imwrite(str(path), made.picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75 + seed[-1] % 5 * 5])
    return path


def run(job: tuple[Task, str]) -> dict[str, Any]:
    """Make, read and judge one page, as an `Outcome`'s fields; its picture goes to the folder given, where one is."""
    task, pictures = job
    forms, alike = _forms()
    made = wild_pages.make(task, forms, alike)
    path = save(made, Path(_folder().name), task.seed)
    try:
        read = list(_reader(task.form, task.road, task.style).read([path]))
        outcome = judge(task, made, forms[task.form], read)
    finally:
        path.unlink()
    if pictures:
        wild_sheets.keep(Path(pictures), task, made, read, outcome.failures, _word(outcome))
    return {**asdict(outcome), "task": None}


def _word(outcome: Outcome) -> str:
    """One line on how the page went."""
    if outcome.refused:
        return f"refused: {outcome.error.rpartition(': ')[2]}"
    lies = "lies right" if outcome.lies else "LIES WRONG"
    quality = "" if outcome.quality is None else f" {outcome.quality:.2f}"
    return f"{lies}{quality}, {outcome.sure}/{outcome.fields} right, {outcome.wrong} wrong above {SURE}"


def _begin() -> None:
    cv2.setNumThreads(1)


def run_all(tasks: Sequence[Task], pictures: str, workers: int, journal: Path | None) -> list[Outcome]:
    """All pages, in order, `workers` at a time; those that the journal of a stopped run holds are not read again."""
    keep = jobs.Journal(journal, jobs.digest(*_sources())) if journal else None
    items = (("-".join(map(str, task.seed)), (task, pictures)) for task in tasks)
    try:
        done = jobs.run(run, items, workers=workers, setup=_begin, journal=keep, on_crash=_died)
        return [Outcome(**{**result, "task": task}) for task, (_, result) in zip(tasks, done, strict=True)]
    finally:
        if keep:
            keep.close()


def _died(key: str) -> dict[str, Any]:
    """The outcome of a page on which the reading process died twice."""
    return {"refused": True, "crashed": True, "error": f"page {key}: the process reading it died"}


def _sources() -> list[bytes]:
    """What an outcome depends on besides its page: the program, its models, and how pages are made and judged."""
    package = Path(inkshift.__file__).parent
    files = [*package.rglob("*.py"), *package.rglob("*.onnx"), *Path(__file__).parent.glob("wild*.py")]
    return [path.read_bytes() for path in sorted(files)]


# -- tables ----------------------------------------------------------------------------------------------------------


def interval(k: int, n: int) -> str:
    """k of n in percent, with the exact 95 % interval of Clopper and Pearson (1934)."""
    if not n:
        return "-"
    bounds = binomtest(k, n).proportion_ci(method="exact")
    return f"{k} of {n}: {k / n:.2%} ({bounds.low:.2%} to {bounds.high:.2%})"


ABOUT = (
    "A page counts as refused where nothing of it is read. Of the fields of the others, one is *right above 0.9* or",
    "*wrong above 0.9* where it was read in a plain state (written, blank, crossed-out) with more than that",
    "confidence; all else would go to a person. A third of the pages are read by the template as it is, with marks or",
    "lines, a third by a picture of the blank page alone (reference), a third by both. Digits are such as nobody",
    "misreads (of MNIST's test digits those whose five nearest neighbours bear the same label, and that keep their",
    "loops and their height when drawn thinner or thicker): what is measured is how pages come, not how hands differ.",
)
HEAD = (
    "| {0} | pages | refused | lie wrong | fields | right above 0.9 | right at all | **wrong above 0.9** | per 1,000 "
    "| from another field's place |"
)


def table(title: str, outcomes: Iterable[Outcome], key: Callable[[Outcome], str]) -> Iterator[str]:
    """A row for each kind of pages that a person could lay."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        groups[key(one)].append(one)
    yield HEAD.format(title)
    yield "|---" * 10 + "|"
    for name, some in groups.items():
        yield row(name, some)


def row(name: str, some: Sequence[Outcome]) -> str:
    pages, fields = len(some), sum(one.fields for one in some)
    wrong = sum(one.wrong for one in some)
    share = [f"{sum(getattr(one, what) for one in some) / max(fields, 1):.1%}" for what in ("sure", "right")]
    laid_wrong = sum(not one.refused and not one.lies for one in some)
    return (
        f"| {name} | {pages} | {sum(one.refused for one in some)} | {laid_wrong} | {fields} | {share[0]} | {share[1]} "
        f"| {wrong} | {1000 * wrong / max(fields, 1):.1f} | {sum(one.astray for one in some)} |"
    )


def totals(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Against the goals: over all fields, pages that should be read, and pages that should not."""
    own = [one for one in outcomes if one.task.kind not in REFUSE]
    other = [one for one in outcomes if one.task.kind in REFUSE]
    yield "| what | goal | measured, with the exact 95 % interval |"
    yield "|---|---|---|"
    wrong = interval(sum(o.wrong for o in outcomes), sum(o.fields for o in outcomes))
    yield f"| fields wrong above {SURE}, all pages | at most {GOAL_WRONG:.1%} | {wrong} |"
    refused = interval(sum(o.refused for o in own), len(own))
    yield f"| pages refused that a person could lay | at most {GOAL_REFUSED:.0%} | {refused} |"
    astray, sure = sum(o.astray for o in own), sum(o.fields for o in own)
    yield f"| fields read above {SURE} in another field's place | 0 | {interval(astray, sure)} |"
    accepted = sum(not o.refused for o in other)
    yield f"| pages accepted that are no page of the form | 0 | {interval(accepted, len(other))} |"
    laid = [o for o in own if not o.refused]
    yield f"| pages read that lie wrong | | {interval(sum(not o.lies for o in laid), len(laid))} |"
    some = sum(o.wrong > 0 for o in outcomes)
    yield f"| pages with a field wrong above {SURE} | | {interval(some, len(outcomes))} |"
    right = interval(sum(o.sure for o in own), sure)
    yield f"| fields right above {SURE}, of pages that a person could lay | | {right} |"
    yield f"| pages on which reading failed by a fault of ours | 0 | {sum(o.crashed for o in outcomes)} |"


def inks(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Twelve inks on four prints: fields right above 0.9 / at any confidence / wrong above 0.9, in percent."""
    yield "| ink | " + " | ".join(PRINTS) + " |"
    yield "|---" * (len(PRINTS) + 1) + "|"
    for ink in INKS:
        cells = []
        for style in PRINTS:
            some = [o for o in outcomes if o.task.kind == "ink" and (o.task.ink, o.task.style) == (ink, style)]
            n = sum(o.fields for o in some)
            parts = [100 * sum(getattr(o, what) for o in some) / max(n, 1) for what in ("sure", "right", "wrong")]
            cells.append(f"{parts[0]:.0f} / {parts[1]:.0f} / {parts[2]:.1f}" if n else "-")
        yield f"| {ink} | " + " | ".join(cells) + " |"


def reliability(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What the reader says of how pages lie, and how many do; pages of no such form lie wrong."""
    told = [(o.quality, o.lies) for o in outcomes if o.quality is not None and not o.refused]
    yield "| registration says | pages | mean of what it says | share that lie right |"
    yield "|---|---|---|---|"
    for low, high in pairwise(_BINS):
        some = [(q, lies) for q, lies in told if low <= q < high or q == high == 1.0]
        if some:
            said = np.mean([q for q, _ in some])
            share = interval(sum(lies for _, lies in some), len(some))
            yield f"| {low} to {high} | {len(some)} | {said:.3f} | {share} |"
    if told:
        yield ""
        q, lies = (np.array(v, float) for v in zip(*told, strict=True))
        bins = np.clip(np.digitize(q, _BINS) - 1, 0, len(_BINS) - 2)
        gaps = sum(abs(q[bins == b].mean() - lies[bins == b].mean()) * (bins == b).sum() for b in set(bins))
        brier = ((q - lies) ** 2).mean()
        yield f"Expected calibration error: {gaps / len(q):.3f} over {len(q)} pages. Brier score: {brier:.3f}."


def times(seed: int, repeats: int = 5) -> Iterator[str]:
    """Registration with its verification, best of several, of one plain page of each form by each road, on one core."""
    cv2.setNumThreads(1)
    forms, _ = _forms()
    yield f"| form | picture | registered {', ms | '.join(ROADS)}, ms | whole page read, ms |"
    yield "|---" * (len(ROADS) + 3) + "|"
    for name in forms:
        task = Task("flat", name, ROADS[0], "black", PRINTS[0], (seed, 0, 0))
        path = save(wild_pages.make(task, forms, {}), Path(_folder().name), task.seed)
        image = load_page(PageRef(str(path), 1))
        cells, whole = [], np.inf
        for road in ROADS:
            reader, best = _reader(name, road, PRINTS[0]), np.inf
            for _ in range(repeats):
                reader.seconds.clear()
                start = time.perf_counter()
                reader.read_page(image)
                whole = min(whole, time.perf_counter() - start)
                best = min(best, reader.seconds.get("register", np.nan) + reader.seconds.get("verify", 0.0))
            cells.append(f"{1000 * best:.0f}")
        yield f"| {name} | {image.shape[1]} x {image.shape[0]} | {' | '.join(cells)} | {1000 * whole:.0f} |"


def worst(outcomes: Sequence[Outcome], most: int = 12) -> Iterator[str]:
    """The kinds with most wrong above 0.9, by form and road."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for o in outcomes:
        kind = f"{o.task.ink} on {o.task.style}" if o.task.kind == "ink" else o.task.kind
        groups[f"{kind}, {o.task.form}, {o.task.road}"].append(o)
    ranked = sorted(groups.items(), key=lambda item: -sum(o.wrong for o in item[1]))[:most]
    yield "| kind, form, road | pages | accepted | lie wrong | fields | wrong above 0.9 |"
    yield "|---|---|---|---|---|---|"
    for name, some in ranked:
        accepted = [o for o in some if not o.refused]
        yield (
            f"| {name} | {len(some)} | {len(accepted)} | {sum(not o.lies for o in accepted)} "
            f"| {sum(o.fields for o in some)} | {sum(o.wrong for o in some)} |"
        )


def lines(given: argparse.Namespace) -> Iterator[str]:
    if not given.pages:
        yield from section("Time on one core", times(given.seed))
        return
    forms, alike = _forms()
    tasks = wild_pages.plan(list(forms), list(alike), given.pages, given.seed)
    if given.kinds:
        tasks = [task for task in tasks if task.kind in given.kinds]
    yield "# Reading in the wild"
    yield ""
    command = f"python benchmarks/wild.py --pages {given.pages} --seed {given.seed}"
    if given.kinds:
        command += " --kinds " + " ".join(f'"{kind}"' for kind in given.kinds)
    yield f"Printed by `{command}` on {machine()}. {len(tasks)} pages made on the fly, of {', '.join(forms)}."
    if len(forms) == len(alike):
        yield "Real pages are missing: INKSHIFT_DATA names no folder that holds c1 and ufpr."
    yield ""
    yield from ABOUT
    outcomes = run_all(tasks, str(given.pictures or ""), given.workers, given.journal)
    own = [o for o in outcomes if o.task.kind not in REFUSE]
    yield from section("Against the goals", totals(outcomes))
    yield from section("By situation", table("situation", own, lambda o: o.task.kind))
    yield from section("By road and form", table("road, form", _sorted(own), lambda o: f"{o.task.road}, {o.task.form}"))
    foreign = _sorted([o for o in outcomes if o.task.kind in REFUSE])
    yield from section(
        "What is no page of the form, and must be refused",
        table("kind", foreign, lambda o: f"{o.task.kind}, {o.task.road}"),
    )
    yield from section("Twelve inks on four prints", inks(outcomes))
    yield ""
    yield "Fields right above 0.9 / right at all / wrong above 0.9, in percent."
    yield from section("Where most is wrong", worst(outcomes))
    yield from section("Whether what registration says of itself is true", reliability(outcomes))
    if given.times:
        yield from section("Time on one core", times(given.seed))
    if given.pictures:
        wild_sheets.bind(given.pictures)


def _sorted(some: Sequence[Outcome]) -> list[Outcome]:
    return sorted(some, key=lambda o: (o.task.kind in REFUSE and o.task.kind, o.task.road, o.task.form))


def section(title: str, body: Iterable[str]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from body


def main() -> None:
    parser = options(__doc__)
    kinds = [*wild_pages.KINDS, "ink"]
    parser.add_argument("--pages", type=int, default=2000, help="how many pages (default: 2000); 0: only the times")
    parser.add_argument("--seed", type=int, default=12, help="another seed gives other pages (default: 12)")
    listed = ", ".join(kinds).replace("%", "%%")
    parser.add_argument("--kinds", nargs="+", choices=kinds, metavar="NAME", help=f"only these of them: {listed}")
    parser.add_argument("--pictures", type=Path, help="folder for sheets of pages to look at")
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: one a core)"
    )
    parser.add_argument("--journal", type=Path, help="file that keeps what is done, so that a stopped run goes on")
    parser.add_argument("--no-times", dest="times", action="store_false", help="leave the times out")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
