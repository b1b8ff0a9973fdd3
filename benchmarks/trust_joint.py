"""Fields of a form read together under its rules, against each by itself.

    python benchmarks/trust_joint.py [--forms N] [--out FILE]

Synthesised forms: fields written with MNIST test digits, which no shipped model has seen, one writer a page, scanned
and blurred until a tenth, or three in a hundred, are read wrongly, and read by the shipped models once; forms are then
put together from these readings. One form in ten has a sum that its writer got wrong, half of them by 1, 10 or 100.
Needs mnist and c1 in $INKSHIFT_DATA or ../shared/data. Readings are kept in out/joint, by template and model.
"""

from __future__ import annotations

import argparse
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.labels import read_labels
from inkshift.forms.joint.form import decode_form
from inkshift.forms.judge.evaluate import wilson
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reading import FieldReading, FormReading, page_from_json, page_to_json
from inkshift.forms.rules import mark_rules
from inkshift.forms.template import FieldSpec, Template, load_template
from printed import options, show
from specimens.pen import Glyphs, mnist_test_glyphs
from specimens.specimen import specimen_pages

FOLDER = Path("out/joint")
EXAMPLES = Path(__file__).parents[1] / "examples"
WRONG_SUMS, SURE = 0.1, 0.99
# How many of the fields are to be wrong, and which part of the forms is put together from such.
WANTED = ((0.1, 1.0), (0.03, 0.25))
BLURS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
Pool = dict[int, list[FieldReading]]
Form = tuple[dict[str, int], FormReading]


@dataclass(frozen=True)
class Kind:
    """A form design: its template, and the numbers needed in fields such as each of those named."""

    name: str
    template: Template
    numbers: Mapping[str, tuple[int, ...]]


def kinds() -> list[Kind]:
    c1, telegram = (load_template(EXAMPLES / name / "template.json") for name in ("c1", "telegram"))
    parts = tuple(v for v in range(304) for _ in range(3 if v < 60 else 1))
    totals = tuple(np.random.default_rng(5).integers(150, 1400, 200).tolist())
    return [
        Kind("three cells (C1)", c1, {"r01": tuple(range(1000))}),
        Kind("free boxes (telegram)", telegram, {"p01": parts, "total": totals}),
    ]


def sheet(spec: FieldSpec) -> Template:
    """A page with as many fields like this one as fit."""
    w, h = round(spec.box[2]), round(spec.box[3])
    places = [(x, y) for y in range(150, 1580, h + 24) for x in range(110, 1130 - w, w + 30)]
    fields = [spec.model_copy(update={"name": f"{k:03d}", "box": (x, y, w, h)}) for k, (x, y) in enumerate(places)]
    marks = [{"x": x, "y": y, "size": 36} for y in (70, 1684) for x in (70, 1170)]
    return Template.model_validate(
        {"name": "sheet", "pages": [{"size": [1240, 1754], "marks": marks, "fields": fields}]}
    )


def blurred(image: np.ndarray, blur: float, rng: np.random.Generator) -> np.ndarray:
    soft = cv2.GaussianBlur(image, (0, 0), blur).astype(np.float32)
    return np.clip(soft + rng.normal(0, 6, soft.shape), 0, 255).astype(np.uint8)


def readings(
    reader: Reader, numbers: Sequence[int], glyphs: Glyphs, blur: float, seed: int
) -> list[tuple[int, FieldReading]]:
    """Each number written in a field of a sheet, and what is read there."""
    assert reader.template
    names = [spec.name for spec in reader.template.fields]
    kept = FOLDER / f"{reader.fingerprint()[:16]}-{blur}-{seed}-{len(numbers)}.jsonl"
    order = np.random.default_rng(seed).permutation(numbers).tolist()
    count = -(-len(order) // len(names))
    order = [order[k % len(order)] for k in range(count * len(names))]
    if not kept.exists():
        left = iter(order)
        written = specimen_pages(
            reader.template, glyphs, count, seed, draw_values=lambda *_: {name: str(next(left)) for name in names}
        )
        rng = np.random.default_rng(seed)
        lines = [page_to_json(reader.read_page(blurred(page.image, blur, rng), page.name)) for page in written]
        kept.write_text("\n".join(lines), encoding="utf-8")
    read = [page_from_json(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    assert not any(page.error for page in read), next(page.error for page in read if page.error)
    return list(zip(order, [reading for page in read for reading in page.fields], strict=True))


def wrong(read: Sequence[tuple[int, FieldReading]]) -> float:
    return float(np.mean([not is_right(reading, number) for number, reading in read]))


def is_right(reading: FieldReading, number: int) -> bool:
    return bool(reading.value) and int(reading.value) == number


def pools(kind: Kind, glyphs: Glyphs, wanted: float) -> tuple[dict[str, Pool], float]:
    """Readings of each number a form of this kind needs, and the blur at which this share of them is wrong."""
    out: dict[str, Pool] = {}
    blur = 0.0
    for seed, (name, numbers) in enumerate(kind.numbers.items(), 10):
        path = FOLDER / f"sheet-of-{name}.json"
        spec = next(spec for spec in kind.template.fields if spec.name == name)
        path.write_text(sheet(spec).model_dump_json(), encoding="utf-8")
        reader = Reader(path)
        if not blur:
            blur = _blur(reader, numbers, glyphs, wanted)
        pool: Pool = defaultdict(list)
        for number, reading in readings(reader, numbers, glyphs, blur, seed):
            pool[number].append(reading)
        out[name] = pool
    return out, blur


def _blur(reader: Reader, numbers: Sequence[int], glyphs: Glyphs, wanted: float) -> float:
    at = bisect_left(BLURS, wanted, key=lambda blur: wrong(readings(reader, numbers, glyphs, blur, 10)))
    return BLURS[min(at, len(BLURS) - 1)]


def forms(kind: Kind, pools: Mapping[str, Pool], count: int, seed: int) -> Iterator[Form]:
    """Forms put together from readings: what is written in each field, and how it was read."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        while not (drawn := _drawn(kind, pools, rng, wrong_sum=rng.random() < WRONG_SUMS)):
            pass
        fields = []
        for spec in kind.template.fields:
            pool = pools.get(spec.name) or next(iter(pools.values()))
            own = pool[drawn[spec.name]]
            fields.append(replace(own[rng.integers(len(own))], name=spec.name))
        yield drawn, FormReading(str(k), tuple(fields))


def _drawn(kind: Kind, pools: Mapping[str, Pool], rng: np.random.Generator, wrong_sum: bool) -> dict[str, int] | None:
    slip = 0
    if wrong_sum:
        slip = int(rng.choice([1, 10, 100]) if rng.random() < 0.5 else rng.integers(1, 400)) * int(rng.choice([-1, 1]))
    if "total" in pools:
        names = [spec.name for spec in kind.template.fields if spec.name != "total"]
        total = int(rng.choice(list(pools["total"])))
        share = rng.dirichlet(np.full(len(names), 0.7))
        parts = np.floor(share * max(total + slip, 0)).astype(int)
        parts[0] += total + slip - parts.sum()
        ok = parts.min() >= 0 and parts.max() <= 303
        return dict(zip(names, parts.tolist(), strict=True)) | {"total": total} if ok else None
    a, r, b = int(rng.integers(30, 990)), int(rng.integers(0, 300)), int(10 ** rng.uniform(0, 1.5)) - 1
    first = bool(rng.random() < 0.5)
    values = {"r01": r, "r02": a - r + slip * first, "A": a, "B": b, "C": a + b + slip * (not first)}
    return values if all(0 <= v <= 999 for v in values.values()) else None


@dataclass
class Tally:
    """What is counted over forms."""

    fields: int = 0
    wrong: int = 0
    wrong_joint: int = 0
    clear: int = 0
    overruled: int = 0
    slips: int = 0
    named: int = 0
    false_alarms: int = 0
    sums_kept: int = 0
    sure: dict[str, list[tuple[float, bool]]] = field(default_factory=lambda: {"alone": [], "joint": []})

    def add(self, kind: Template, written: Mapping[str, int], alone: FormReading) -> None:
        rules = kind.parsed_rules
        joint = mark_rules(decode_form(alone, rules, kind.fields), rules)
        for spec, before, after in zip(kind.fields, alone.fields, joint.fields, strict=True):
            number = written[before.name]
            self.fields += 1
            self.wrong += not is_right(before, number)
            self.wrong_joint += not is_right(after, number)
            self.sure["alone"].append((before.confidence, is_right(before, number)))
            self.sure["joint"].append((after.confidence, is_right(after, number)))
            text = str(number).rjust(spec.cells)
            places = [k for k in clear_places(before, spec.cells) if at(text, k) == before.written[k]]
            self.clear += len({k % len(before.written) for k in places})
            self.overruled += sum(at(after.written, k) != before.written[k] for k in places)
        broken = {rule.code for rule in rules if rule.broken_at(written)}
        said = {message.split()[0] for item in joint.fields for message in item.rules_broken}
        self.slips += bool(broken)
        self.named += bool(broken & said)
        self.sums_kept += not broken
        self.false_alarms += not broken and bool(said)


def clear_places(reading: FieldReading, cells: int) -> list[int]:
    """Places, 0, 1 from the start and -1, -2 from the end, on whose digit 99 % of what the candidates weigh agree, or
    whose own probability in a cell is so high."""
    total, written = sum(c.probability for c in reading.candidates), reading.written
    places = [k for k in range(-len(written), len(written)) if written[k].isdigit()]
    agree = {k: sum(c.probability for c in reading.candidates if at(c.written, k) == written[k]) for k in places}
    own = {k: reading.cells[k].probability if cells and reading.cells else 0.0 for k in places}
    return [k for k in places if agree[k] >= SURE * total or own[k] >= SURE]


def at(text: str, place: int) -> str:
    """The symbol at a place, empty beyond both ends."""
    return text[place] if -len(text) <= place < len(text) else ""


def calibration_error(sure: Sequence[tuple[float, bool]]) -> float:
    """Expected calibration error over ten bins of equal width."""
    p, right = (np.array(column, float) for column in zip(*sure, strict=True))
    bins = np.minimum((p * 10).astype(int), 9)
    return float(sum(abs((p - right)[bins == b].sum()) for b in range(10)) / len(p))


def counted(kind: Kind, glyphs: Glyphs, count: int, wanted: float = 0.1) -> tuple[Tally, float]:
    """Forms of a kind read alone and together, and the blur of their pages."""
    pool, blur = pools(kind, glyphs, wanted)
    tally = Tally()
    for written, form in forms(kind, pool, count, seed=3):
        tally.add(kind.template, written, form)
    return tally, blur


def synthesised(count: int) -> Iterator[str]:
    yield (
        "\n| forms | blur | field errors alone | together | cut | clear digits written so | overruled "
        "| wrong sums named | right sums called wrong | calibration error alone | together |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    glyphs = mnist_test_glyphs(catalog.data_root() / "mnist")
    for kind, (wanted, part) in product(kinds(), WANTED):
        own = round(part * count)
        tally, blur = counted(kind, glyphs, own, wanted)
        cut = 1 - tally.wrong_joint / tally.wrong
        alone, together = (calibration_error(tally.sure[name]) for name in ("alone", "joint"))
        yield (
            f"| {own} of {kind.name} | {blur} px "
            f"| {tally.wrong} of {tally.fields} ({tally.wrong / tally.fields:.1%}) "
            f"| {tally.wrong_joint} ({tally.wrong_joint / tally.fields:.1%}) | **{cut:.1%}** "
            f"| {tally.clear} | **{tally.overruled}** | {tally.named} of {tally.slips} "
            f"| {tally.false_alarms} of {tally.sums_kept} | {alone:.3f} | {together:.3f} |"
        )


def real_pages() -> Iterator[str]:
    folder = catalog.data_root() / "c1"
    labels = {(item.form, item.field): item for item in read_labels(str(folder / "labels.csv"))}
    reader = Reader(EXAMPLES / "c1" / "template.json")
    assert reader.template
    rules = reader.template.parsed_rules
    right, right_joint, total, named = 0, 0, 0, []
    for path in sorted((folder / "pages").glob("*.jpg")):
        page = reader.read_page(load_page(PageRef(str(path), 1)), str(path))
        alone = FormReading(path.stem, page.fields)
        joint = mark_rules(decode_form(alone, rules, reader.template.fields), rules)
        for before, after in zip(alone.fields, joint.fields, strict=True):
            wanted = labels[alone.name, before.name].value
            total += 1
            right += before.value == wanted
            right_joint += after.value == wanted
        named += [f"{joint.name}: {m}" for m in dict.fromkeys(m for f in joint.fields for m in f.rules_broken)]
    yield "\n## The 10 pages of C1\n"
    yield f"Fields right alone: {right} of {total}; together: {right_joint} of {total} (95 % interval "
    low, high = wilson(right_joint, total)
    yield f"{low:.1%} to {high:.1%}). Rules named as broken:\n"
    yield from (f"- {line}" for line in named or ["none"])


def lines(given: argparse.Namespace) -> Iterator[str]:
    yield "# Fields read together under their form's rules"
    yield f"\nPrinted by `python benchmarks/trust_joint.py` on {machine()}."
    yield from synthesised(given.forms)
    yield from real_pages()


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--forms", type=int, default=1000, help="forms of each kind")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
