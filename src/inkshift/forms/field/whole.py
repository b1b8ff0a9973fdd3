"""Fields read by the recogniser of whole numbers: numbers; and single digits and rows of cells that leave a doubt.

A number is looked at in one view, all numbers of a page at once; where that is not sure, in all views, and by the
second reader where there is one. A digit, or a row of cells, was read by a model of single digits, which sees each
alone; the recogniser sees the row, walls and all. Each gives a probability to what may be written, and the two are
multiplied (a product of experts, Hinton 1999). Only the model of digits knows crossed-out and empty cells, so what is
chosen is one of its candidates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from inkshift.forms.cut import cutout
from inkshift.forms.field import fields, signs
from inkshift.forms.field.numbers import Line, NumberReader, View
from inkshift.forms.reading import CROSSED, DIGITS, Candidate, FieldReading, state_of, value_of
from inkshift.models.ctc import LineProbabilities, fold, under
from inkshift.models.weigh import weigh

# Adds the time since a start to a step of that name, and gives the time that it is now.
Spent = Callable[[str, float], float]

# A row of cells that is read surer is not heard, so that what is clear costs no more.
SURE = 0.99
# A row that one view of it leaves surer is not looked at again.
SETTLED = 0.95


def read_numbers(
    reader: NumberReader, work: Sequence[cutout.FieldJob], level: float | None, spent: Spent, glance: bool = False
) -> list[FieldReading]:
    """The numbers in fields, each read whole: by one view of all at once; then, unless `glance`, by all that the reader
    has where that is not sure. level: how dark ink is on the page (`ink.ink_level`)."""
    if not work:
        return []
    start = time.process_time()
    prepared = [fields.prepare_number(job, level) for job in work]
    first = [picture for item in prepared for picture in item.line.pictures(reader.frame, reader.views[:1])]
    start = spent("prepare", start)
    views = reader.run(first)
    prepared = [
        replace(item, beside=_signs(reader, item, steps), struck=_struck(reader, item, steps))
        for item, steps in zip(prepared, views, strict=True)
    ]
    seen = [[steps] for steps in views]
    start = spent("classify", start)
    texts = _weighed(reader, prepared, seen)
    start = spent("decode", start)
    open_ = [
        k
        for k, (item, found) in enumerate(zip(prepared, texts, strict=True))
        if not glance and not reader.is_sure(found, item.job.digits, item.job.largest, item.struck)
    ]
    if open_ and (len(reader.views) > 1 or reader.second):
        again = [prepared[k] for k in open_]
        more, others = _look_again(reader, [(item.crop, item.line) for item in again], reader.views[1:], spent)
        start = time.process_time()
        for k, added in zip(open_, more, strict=True):
            seen[k] += added
        weighed = _weighed(reader, again, [seen[k] for k in open_], others)
        for k, found in zip(open_, weighed, strict=True):
            texts[k] = found
    old = _struck_out(reader, prepared, texts, seen)
    readings = [
        item.reading(found, [fold(steps) for steps in own], old.get(k))
        for k, (item, found, own) in enumerate(zip(prepared, texts, seen, strict=True))
    ]
    spent("decode", start)
    return readings


def _struck_out(
    reader: NumberReader,
    prepared: Sequence[fields.PreparedNumber],
    texts: Sequence[Mapping[str, float]],
    seen: Sequence[Sequence[LineProbabilities]],
) -> dict[int, dict[str, float]]:
    """What the numbers that are struck out, by place, may have been: a recogniser that names what is struck out still
    tells which digits it looks most like. Being struck out shows in the ink, or to the recogniser where it reads none.
    """
    mark = reader.struck
    if mark is None:
        return {}
    rows = [
        k
        for k, (item, found, own) in enumerate(zip(prepared, texts, seen, strict=True))
        if (item.struck > 0.5 if next(iter(found)) else own[0][:, mark].max(initial=0.0) > 0.5)
    ]
    if not rows:
        return {}
    old = [[under(steps, mark) for steps in seen[k]] for k in rows]
    return dict(zip(rows, _weighed(reader, [prepared[k] for k in rows], old), strict=True))


def _signs(reader: NumberReader, item: fields.PreparedNumber, steps: LineProbabilities) -> tuple[signs.Sign, ...]:
    """What stands among the digits of a number. Where a sign is part of its value, the ink tells its place best."""
    seen, known = reader.signs_seen(steps), set(reader.marks.values())
    if item.job.places or item.job.signed:
        return signs.without_their_gaps((*item.beside, *(sign for sign in seen if sign.name == signs.PERCENT)))
    # A dash by itself behind a filler is one all the same.
    open_ = any(map(_may_be_minus, seen)) and not any(map(_may_be_minus, item.beside))
    if open_ and signs.filler_before(item.strokes):
        seen = tuple(sign for sign in seen if not _may_be_minus(sign))
    return signs.agreed(item.beside, seen, known)


def _may_be_minus(sign: signs.Sign) -> bool:
    return sign.name == signs.DASH and not sign.before and bool(sign.behind)


def _struck(reader: NumberReader, item: fields.PreparedNumber, steps: LineProbabilities) -> float:
    """How sure it is that a number is struck out: where the ink is in doubt, a recogniser that would name it is heard.

    Such a recogniser reads no digits where they are struck out, so that to doubt those that it reads would be to ask
    the ink twice.
    """
    names_it = reader.struck is not None and steps[:, reader.struck].max(initial=0.0) <= 0.5
    return item.struck * signs.INK_ALONE if names_it and item.struck <= 0.5 else item.struck


def _look_again(
    reader: NumberReader, lines: Sequence[tuple[npt.NDArray[np.uint8], Line]], ways: Sequence[View], spent: Spent
) -> tuple[list[list[LineProbabilities]], list[list[LineProbabilities]]]:
    """What is seen of each line, with its crop, in some views; and what the second reader sees, where there is one."""
    start = time.process_time()
    pictures = [picture for _, line in lines for picture in line.pictures(reader.frame, ways)]
    start = spent("prepare", start)
    views = reader.run(pictures)
    others = [[other] for other in reader.second([crop for crop, _ in lines])] if reader.second else []
    spent("classify", start)
    return [views[k * len(ways) : (k + 1) * len(ways)] for k in range(len(lines))], others


def _weighed(
    reader: NumberReader,
    prepared: Sequence[fields.PreparedNumber],
    seen: Sequence[Sequence[LineProbabilities]],
    others: Sequence[Sequence[LineProbabilities]] = (),
) -> list[dict[str, float]]:
    digits, largest = [item.job.digits for item in prepared], [item.job.largest for item in prepared]
    return weigh([[fold(steps) for steps in own] for own in seen], others, digits, largest, reader.calibration)


def hear_cells(
    reader: NumberReader,
    work: Sequence[cutout.FieldJob],
    cells: Sequence[FieldReading],
    spent: Spent,
    glance: bool = False,
) -> list[FieldReading]:
    """Those of some rows of cells, or single digits, that leave a doubt, heard by a view of the row too; by all, and by
    the second reader, where that leaves one.

    cells: the rows as they were read cell by cell. glance: none is heard.
    """
    doubted = [(job, reading) for job, reading in zip(work, cells, strict=True) if is_doubted(reading, SURE)]
    if not doubted or glance:
        return []
    shown = [(crop, Line(crop, dark)) for crop, dark in (cutout.seen(job) for job, _ in doubted)]
    seen, _ = _look_again(replace(reader, second=None), shown, reader.views[:1], spent)
    if reader.second:  # where one can be asked, one view settles nothing
        heard, open_ = [own for _, own in doubted], list(range(len(doubted)))
    else:
        heard = _heard(reader, doubted, seen, (), spent)
        left = [SETTLED * sum(one.probability for one in reading.candidates) for reading in heard]
        open_ = [k for k, reading in enumerate(heard) if is_doubted(reading, left[k])]
    if not open_:
        return heard
    again = [doubted[k] for k in open_]
    more, others = _look_again(reader, [shown[k] for k in open_], reader.views[1:], spent)
    views = [seen[k] + added for k, added in zip(open_, more, strict=True)]
    for k, reading in zip(open_, _heard(reader, again, views, others, spent), strict=True):
        heard[k] = reading
    return heard


def _heard(
    reader: NumberReader,
    doubted: Sequence[tuple[cutout.FieldJob, FieldReading]],
    seen: Sequence[Sequence[LineProbabilities]],
    others: Sequence[Sequence[LineProbabilities]],
    spent: Spent,
) -> list[FieldReading]:
    start = time.process_time()
    digits, largest = [(0, max(job.cells, 1)) for job, _ in doubted], [job.largest for job, _ in doubted]
    rows = weigh([[fold(steps) for steps in own] for own in seen], others, digits, largest, reader.calibration)
    readings = [multiplied(own, row, reader.calibration) for (_, own), row in zip(doubted, rows, strict=True)]
    # Only the model of digits tells what is none, or crossed out: what it leaves to the digits all together stays.
    readings = [
        fields.less_sure(after, _left_to_digits(job, before, after))
        for (job, before), after in zip(doubted, readings, strict=True)
    ]
    spent("decode", start)
    return readings


def _left_to_digits(job: cutout.FieldJob, before: FieldReading, after: FieldReading) -> float:
    """The share of its probability, 0 to 1, that a reading has for the digits where digits are read after all.

    before, after: as the model of single digits read it, and with the row heard.
    """
    total = sum(one.probability for one in before.candidates)
    if job.kind == "digit":
        return total
    crossed = [
        sum(one.probability for one in before.candidates if one.written[k] == CROSSED)
        for k, symbol in enumerate(after.written)
        if symbol in DIGITS
    ]
    return 1 - max(crossed, default=0.0) / max(total, 1e-9)


def is_doubted(reading: FieldReading, sure: float) -> bool:
    """Whether a row of cells, or a digit, as it was read by itself, is to be heard as a whole as well.

    Whether a digit was taken back is no doubt that hearing the row ends: a reading that says the same of the digits,
    some of them crossed out, speaks for them. sure: the probability of these from which on there is no doubt.
    """
    if reading.state == "overflow" or len(reading.candidates) < 2:
        return False
    best = reading.written
    same = (
        one.probability
        for one in reading.candidates
        if all(symbol in (own, CROSSED) for symbol, own in zip(one.written, best, strict=True))
    )
    return sum(same) < sure


def multiplied(
    cells: FieldReading, whole: Mapping[str, float], calibration: Mapping[str, float] | None = None
) -> FieldReading:
    """A reading of cells, or of a digit, its candidates weighed against those of the whole.

    whole: texts with probabilities, "" for no digit. calibration: `number floor` keeps the row from a veto; `both`,
    since two readers of one number err on the same ones now and then (see `models.weigh`).
    """
    given = (calibration or {}).get
    own = np.array([one.probability for one in cells.candidates])
    other = np.array([whole.get(value_of(one.written), 0.0) for one in cells.candidates])
    odds = given("both", 1.0) * (np.log(own + 1e-12) + np.log(other + given("number floor", 1e-3)))
    share = np.exp(odds - np.logaddexp.reduce(odds))
    order = np.argsort(-share, kind="stable")
    candidates = tuple(Candidate(cells.candidates[i].written, float(share[i])) for i in order)
    best = candidates[0].written
    state = state_of(best)
    # A cell is as sure as all candidates together that say the same of it.
    parts = tuple(
        replace(part, symbol=symbol, probability=sum(c.probability for c in candidates if c.written[k] == symbol))
        for k, (part, symbol) in enumerate(zip(cells.cells, best, strict=True))
    )
    return replace(
        cells,
        value=value_of(best) if state == "written" else "",
        written=best,
        state=state,
        confidence=candidates[0].probability,
        candidates=candidates,
        cells=parts,
    )
