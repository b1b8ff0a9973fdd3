"""One field: what was cut out becomes pictures for the classifier, and the probabilities become a reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.forms.cut import grid, segment
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.cutout import (
    INSET,
    SPECK,
    FieldJob,
    around,
    faint_ink,
    inner,
    meets_frame,
    no_ink,
    number_ink,
    own_ink,
    pieces_of,
    seen,
    strokes,
    void_of,
    void_of_size,
)
from inkshift.forms.field import amounts, numbers, signs
from inkshift.forms.field.cells import (
    Cell,
    cells_of_field,
    likeness,
    slash_or_struck_zero,
    thickest,
    views_of_digit,
)
from inkshift.forms.field.decode import MOST_CANDIDATES, cell_symbols, decode, decode_cells, gaps_doubted
from inkshift.forms.field.ends import left_by_ends
from inkshift.forms.field.struck import struck_odds, taken_back
from inkshift.forms.reading import (
    CROSSED,
    DIGITS,
    EMPTY,
    UNREADABLE,
    Candidate,
    CellReading,
    FieldReading,
    State,
    state_of,
    value_of,
)
from inkshift.models.ctc import allowed

Probabilities = npt.NDArray[np.float32]
Lines = Sequence[Probabilities]
Frame = Callable[[Gray], Gray]

# Where what a field allows is less probable than the first and what it does not allow more than the second, the
# field is not read as something else: it overflows.
_FAR_FETCHED, _PLAIN = 0.05, 0.5
# Odds, in nats, that a number was struck out must exceed the first to be taken for so, since few are; from the second
# on a number is doubted more than not.
_RARELY_STRUCK, _DOUBTED = 3.0, 1.5
# Odds by which a field without ink is blank where a recogniser is in two minds, the lower end of what
# `benchmarks/fit_numbers.py --ink` prints, and the least that it must give to nothing.
_VOID_ODDS, _HARDLY = 190.0, 0.15
# Shares of a cell's height: how high ink is at least that is looked at though it is paler than its page's, and how
# thick at most. Share of the darkness of its page's ink that it has at least; share of its probability that is left to
# a digit of a cell that is doubted.
_PALE, _THICK, _PALEST, _DOUBT_LEFT = 0.3, 0.27, 0.18, 0.5
# A line that takes a number back shows by itself in one of so many digits.
_FEW = 3
# Share of its probability that a number loses of which a stroke meets the frame.
_HIDDEN = 0.5
# Share of the likeliest candidate's probability from which on another is looked at as closely.
_NEARLY = 0.5
# Ink by itself that is so large and so far from the middle of any digit, in heights of the number, and what it leaves.
_AS_LARGE, _BESIDE_DIGITS, _UNREAD = (0.45, 1.4), 0.4, 0.8
# Of a text: pixels that a line is high at most, of a box for several, and the share of it that a few specks come to.
_LINE, _DUST = 64, 0.25
# Odds by which ink before a mark for an unused cell is one too; how likely a mark must be for its neighbour to speak.
_BEFORE_MARK, _MAY_BE = 10.0, 0.1


@dataclass(frozen=True, slots=True)
class PreparedField:
    """Pictures (28, 28) uint8 for the classifier, and what turns its (n, classes) answer into a reading."""

    pictures: Sequence[Gray]
    finish: Callable[[Probabilities], FieldReading]


@dataclass(frozen=True, slots=True)
class PreparedNumber:
    """A field's number as line recognisers are to see it, and what its ink alone says.

    crop: (H, W) or (H, W, 3) uint8, for a recogniser that takes crops as they are. written: its ink (`number_ink`);
    strokes: all of it, see `strokes`.
    struck: 0 to 1, how sure it is that it was struck out. beside: what stands among its digits. by_cells: the field as
    the row of printed cells that it is, or as it is.
    """

    job: FieldJob
    by_cells: FieldJob
    crop: npt.NDArray[np.uint8]
    line: numbers.Line
    written: Gray
    strokes: Gray
    struck: float
    beside: tuple[signs.Sign, ...]

    def reading(self, texts: Mapping[str, float], views: Lines, old: Mapping[str, float] | None = None) -> FieldReading:
        """What is read. texts: see `weigh`. views: probabilities (T, 11) of each view, of the first at least. old: what
        it may have been if it is struck out, where that is known; it is given as candidates then.
        """
        job, struck = self.job, self.struck
        if texts.get("", 0.0) >= _HARDLY or max((p for t, p in texts.items() if t), default=0.0) < _PLAIN:
            texts = _less_where_void(texts, no_ink(job))
        best, share = next(iter(texts.items()))
        if struck > 0.5 and (best or job.struck > 0.5 or old is not None):
            was = texts if old is None else old
            given = (Candidate(CROSSED, struck), *(Candidate(t, p * (1 - struck)) for t, p in was.items() if t))
            read = FieldReading(job.name, "", CROSSED, "crossed-out", struck, given[:MOST_CANDIDATES])
            return self._perhaps_fraction(read)
        if not best:
            return self._perhaps_fraction(_nothing_read(job, texts, self.written, old))
        fitting = {text: p for text, p in texts.items() if text and allowed(text, job.digits, job.largest)}
        total = sum(fitting.values())
        if total > _FAR_FETCHED or (fitting and share < _PLAIN):
            scale = total + texts.get("", 0.0)
            given = tuple(Candidate(t, p / scale) for t, p in list(fitting.items())[:MOST_CANDIDATES])
            given, digits = self._by_ends(given, views)
            best = given[0].written
            read = _with_signs(job, _reading(job, given, digits), self.beside)
            # The shadow of an upright fold looks like a 1 to a recogniser.
            left = 0.5 if set(best) == {"1"} and no_ink(job) > 0.5 else 1.0
            if read.confidence > _PLAIN and self._leaves_ink(read.cells):
                left *= _UNREAD
            return less_sure(_perhaps_struck(read, struck), left * self.whole(len(best)))
        given = tuple(Candidate(t, p) for t, p in list(texts.items())[:MOST_CANDIDATES] if t)
        return _overflow(job, given, _digits(job, self.line, given[0].written, views))

    def _perhaps_fraction(self, reading: FieldReading) -> FieldReading:
        """A field that holds no number; the stroke of a fraction looks like one that strikes out."""
        fractions = tuple(sign for sign in self.beside if sign.name == signs.FRACTION)
        return replace(less_sure(reading, signs.doubt(fractions)), marks=signs.names(fractions))

    def _by_ends(
        self, given: tuple[Candidate, ...], views: Lines
    ) -> tuple[tuple[Candidate, ...], tuple[CellReading, ...]]:
        """The candidates, less sure by what stands at their ends, the likeliest first; and the digits of that one.

        Those that are nearly as likely as the first are looked at by themselves: strokes far apart may be ones, or the
        borders of a table, and one that passes a stroke over is worse.
        """
        digits = {
            one.written: _digits(self.job, self.line, one.written, views)
            for one in given
            if one is given[0] or one.probability > _NEARLY * given[0].probability
        }
        left = {text: left_by_ends(self.job.ends, self.written, own) for text, own in digits.items()}
        least = left[given[0].written]
        weighed = [Candidate(one.written, one.probability * left.get(one.written, least)) for one in given]
        weighed.sort(key=lambda one: -one.probability)
        first = next(one for one in weighed if one.written in digits)
        return (first, *(one for one in weighed if one is not first)), digits[first.written]

    def _leaves_ink(self, digits: Sequence[CellReading]) -> bool:
        """Whether ink as large as a digit, perhaps far paler, stands beside those that were read, and no mark is seen
        that it may be."""
        if self.beside or not digits:
            return False
        (top, bottom), (x0, y0, x1, y1) = self.line.band, self.job.frame
        rows, _ = around(self.job)
        high, first = bottom - top, top + rows.start
        _, stats = segment.components(faint_ink(self.job))
        x, y, w, h, _ = stats.T
        size = np.maximum(w, h) / high
        middles = np.array([(one.box[0] + one.box[2]) / 2 for one in digits])
        apart = np.maximum(middles - (x + w)[:, None], x[:, None] - middles).min(1, initial=np.inf)
        within = (x > x0) & (y > y0) & (x + w < x1) & (y + h < y1)
        level = (y + h / 2 > first) & (y + h / 2 < first + high)
        large = (size > _AS_LARGE[0]) & (size < _AS_LARGE[1])
        return bool(np.any(within & level & large & (apart > _BESIDE_DIGITS * high)))

    def whole(self, digits: int) -> float:
        """How sure the form of its ink leaves it, 0 to 1, that what reads as so many digits is that and not a mark."""
        marks = 1 - max(self._mark(digits), _mark_in_cells(self.by_cells, digits))
        return marks * (1 - (_HIDDEN if meets_frame(self.job, self.strokes) else 0.0))

    def _mark(self, digits: int) -> float:
        """How sure the form of its ink makes it, 0 to 1, that what reads as so many digits is a mark or was taken back.

        The recogniser learned numbers: one stroke by itself is a 1 to it, and a line through a digit a part of that. A
        1 in a free field may lean as far as its writer likes, so that only what leans farther is doubted.
        """
        if digits > _FEW:
            return 0.0
        labels, stats = segment.components(self.strokes)
        large = np.flatnonzero(stats[:, 3] >= stats[:, 3].max(initial=0) / 4)
        if not len(large):
            return 0.0
        x, y, w, h, _ = stats[large].T
        rows, columns = slice(y.min(), (y + h).max()), slice(x.min(), (x + w).max())
        picture = self.strokes[rows, columns] * np.isin(labels[rows, columns], large + 1)
        unused = slash_or_struck_zero(picture) if digits == 1 else 0.0
        return max(taken_back(picture), unused if unused > 0.5 else 0.0)


def prepare(job: FieldJob, frame: Frame, calibration: dict[str, float], reference: float | None) -> PreparedField:
    """Cut a field into pictures, each made by `frame` (see `Reframing.of_ink`).

    reference: how dark ink is on this page (`ink.ink_level`).
    """
    if job.kind == "number":
        job = _by_cells(job)
    if job.kind == "number":
        return _number(job, frame, calibration, number_ink(job, reference))
    ink = inks.extract(job.dark, inks.threshold_of(inner(job), reference))
    if job.kind == "digit":
        views = views_of_digit(ink)
        box = (0, 0, ink.shape[1], ink.shape[0])
        return _cells(job, (Cell(box, views, (1.0,) * len(views)),), frame, calibration)
    cells = cells_of_field(ink, job.cells, job.frame, job.printed)
    cells = tuple(cell if cell.views else _seen_by_itself(job, cell, reference) for cell in cells)
    if len(job.passed) == len(cells):
        cells = tuple(replace(c, mark=max(c.mark, sure)) for c, sure in zip(cells, job.passed, strict=True))
    return _cells(job, cells, frame, calibration)


def _seen_by_itself(job: FieldJob, cell: Cell, reference: float | None) -> Cell:
    """A cell in which no ink as dark as its page's is, with paler strokes that stand out none the less: it is no blank.

    Bands and letters of a safety print are thicker than strokes, or paler still.
    """
    x0, y0, x1, y1 = cell.box
    in_x, in_y = round(INSET * (x1 - x0)), round(INSET * (y1 - y0))
    dark = job.dark[y0 + in_y : y1 - in_y, x0 + in_x : x1 - in_x]
    if min(dark.shape) < 8 or np.count_nonzero(dark > inks.FAINTEST) < len(dark) // 2:
        return cell
    ink = inks.extract(dark, max(inks.threshold_of(dark), _PALEST * (reference or 0.0)))
    _, stats = segment.components(ink)
    if not len(stats) or stats[:, 3].max() < _PALE * (y1 - y0) or thickest(ink > 0) > _THICK * (y1 - y0):
        return cell
    views = views_of_digit(ink)
    return replace(cell, views=views, weights=(1.0,) * len(views), doubted=True)


def _mark_in_cells(job: FieldJob, digits: int) -> float:
    """How sure the form of its ink makes it, 0 to 1, that a cell among the last so many of a row of them is a mark, or
    was taken back: unused cells come first. job: see `PreparedNumber.by_cells`."""
    if job.kind != "cells":
        return 0.0
    ink = inks.extract(job.dark, inks.threshold_of(inner(job)))
    used = [cell for cell in cells_of_field(ink, job.cells, job.frame, job.printed) if cell.views]
    return max((cell.mark for cell in used[-digits:]), default=0.0)


def _by_cells(job: FieldJob) -> FieldJob:
    """A number in a crop that shows printed cells, to be read cell by cell."""
    found = grid.printed_cells(job.dark) if job.frame == (0, 0, *job.dark.shape[::-1]) else None
    return job if found is None else replace(job, kind="cells", frame=found[0], cells=found[1], printed=True)


def _number(job: FieldJob, frame: Frame, calibration: dict[str, float], written: Gray) -> PreparedField:
    lattice = segment.build(upright(written))
    pictures = [frame(part.picture) for part in lattice.segments]

    def finish(probabilities: Probabilities) -> FieldReading:
        temperature = calibration.get("number temperature", 1.0)
        decoded = decode(lattice, probabilities, job.digits, job.largest, temperature)
        if not lattice.atoms or (decoded.candidates and decoded.candidates[0].probability > _FAR_FETCHED):
            return _reading(job, decoded.candidates, decoded.cells)
        free = decode(lattice, probabilities, (1, 20), None, temperature)
        if decoded.candidates and free.candidates[0].probability < _PLAIN:
            return _reading(job, decoded.candidates, decoded.cells)
        return _overflow(job, free.candidates, free.cells)

    return PreparedField(pictures, finish)


def prepare_number(job: FieldJob, reference: float | None) -> PreparedNumber:
    """A field's number as line recognisers are to see it. reference: see `prepare`."""
    crop, dark = seen(job)
    written = number_ink(job, reference)
    ink = strokes(job, reference)
    struck = max(job.struck, struck_share(ink))
    beside = signs.find_signs(written if job.ink is None else own_ink(job, reference)) + signs.find_fractions(ink)
    by_cells = _by_cells(job)
    if by_cells.kind == "cells":  # each digit stands by itself there
        beside = tuple(sign for sign in beside if sign.name != signs.GAP)
    line = numbers.Line(crop, dark, written[around(job)], reference)
    return PreparedNumber(job, by_cells, crop, line, written, ink, struck, beside)


def struck_share(ink: Gray) -> float:
    """How sure it is, 0 to 1, that a number was struck out, from its strokes (see `strokes`).

    Numbers that are struck out are rare: the odds of as many struck as whole ones are lowered by so much.
    """
    return float(1 / (1 + np.exp(_RARELY_STRUCK - struck_odds(ink))))


def _perhaps_struck(reading: FieldReading, struck: float) -> FieldReading:
    """A number that may have been struck out: as sure as it is that it was not, against the odds of the rare case."""
    odds = struck / max(1 - struck, 1e-9) * np.exp(_RARELY_STRUCK - _DOUBTED)
    return less_sure(reading, float(1 / (1 + odds)))


def less_sure(reading: FieldReading, left: float) -> FieldReading:
    """A reading of whose probability such a share is left, 0 to 1."""
    if left == 1:
        return reading
    candidates = tuple(Candidate(one.written, one.probability * left) for one in reading.candidates)
    return replace(reading, confidence=reading.confidence * left, candidates=candidates)


def as_amount(job: FieldJob, reading: FieldReading, reference: float | None) -> FieldReading:
    """A decimal or signed number that was read digit by digit or cell by cell, with what stands between its digits."""
    if job.kind == "cells":
        return amounts.in_cells(reading, job.places)
    return _with_signs(job, reading, signs.without_their_gaps(signs.find_signs(number_ink(job, reference))))


def _with_signs(job: FieldJob, reading: FieldReading, beside: tuple[signs.Sign, ...]) -> FieldReading:
    """A number with what stands beside its digits: named, and less sure where it may mean another value.

    beside: as the ink tells, and a recogniser that knows such signs.
    """
    if job.places or job.signed:
        return amounts.as_amount(reading, beside, job.places, job.signed, job.digits[1], job.largest)
    return replace(less_sure(reading, signs.doubt(beside)), marks=signs.names(beside))


def _digits(job: FieldJob, line: numbers.Line, text: str, views: Lines) -> tuple[CellReading, ...]:
    """Where each digit of a number is, in pixels of the job's crop, and how probable it is there to the views."""
    rows, columns = around(job)
    x, y = columns.start, rows.start
    boxes = numbers.digit_boxes(line, text, views[0])
    sure = [np.mean([view[:, int(d)].max() for view in views]) for d in text]
    return tuple(
        CellReading(d, float(p), (a + x, b + y, c + x, e + y))
        for d, p, (a, b, c, e) in zip(text, sure, boxes, strict=len(boxes) == len(text))
    )


def _nothing_read(
    job: FieldJob, texts: Mapping[str, float], written: Gray, old: Mapping[str, float] | None = None
) -> FieldReading:
    """A field in which no digit was read: blank, or crossed out where there is ink none the less.

    texts: what else it may hold, with probabilities; "" for nothing. written: see `PreparedNumber`. old: what it may
    have been before it was struck out. Being crossed out takes a stroke as dark as the page's others: a piece that is
    long and flat, or longer than a digit; another is for a person to look at.
    """
    pieces = pieces_of(job)
    void, sure = void_of(job, pieces), texts[""]
    if void > 0.5:
        symbol, sure = EMPTY, sure * void
    else:
        x, y, w, h, _ = pieces[np.argmax(pieces[:, 2:4].max(1))].tolist()
        plain = w > 1.5 * h and written[y : y + h, x : x + w].any()
        symbol, sure = CROSSED, sure * (1 - void) * (1.0 if plain else 0.5)
    if symbol == CROSSED and old is not None:
        texts = {t: p * (1 - texts[""]) for t, p in old.items()}
    others = [Candidate(t, p) for t, p in texts.items() if t and allowed(t, job.digits, job.largest)]
    given = (Candidate(symbol, sure), *others)[:MOST_CANDIDATES]
    return FieldReading(job.name, "", symbol, state_of(symbol), sure, given)


def _less_where_void(texts: Mapping[str, float], void: float) -> dict[str, float]:
    """What a number may be, given how sure it is that there is no ink: a recogniser is never as sure of nothing.

    Where it hardly doubts a digit, its word stands, and this is not asked: the ink may be too pale to be found.
    """
    nothing = texts[""]
    if void < 0.5:
        return dict(texts)
    odds = nothing / max(1 - nothing, 1e-9) * _VOID_ODDS
    out = {text: p / max(1 - nothing, 1e-9) / (1 + odds) for text, p in texts.items() if text}
    return dict(sorted(({"": odds / (1 + odds)} | out).items(), key=lambda item: -item[1]))


def ink_or_none(job: FieldJob) -> FieldReading:
    """A field that nobody reads: blank, or unread where there is ink that a person is to read.

    A text is many pieces: those larger than specks count together, and so do specks beyond a few.
    """
    sizes = pieces_of(job)[:, 2:4].max(1) / min(job.frame[3] - job.frame[1], _LINE)
    specks = float(sizes[sizes <= SPECK].sum())
    ink = float(sizes.sum()) - min(specks, _DUST)
    void = void_of_size(ink - SPECK / 2)
    if void > 0.5:
        return FieldReading(job.name, "", EMPTY, "blank", void, (Candidate(EMPTY, void),))
    return FieldReading(job.name, "", UNREADABLE, "unread", 0.0)


def upright(ink: Gray) -> Gray:
    """Ink sheared so that strokes stand upright: the shear whose columns hold the ink most unevenly."""
    box = cv2.boundingRect((ink > 0).view(np.uint8))
    if box[3] < 8 or box[2] < 8:
        return ink
    x, y, w, h = box
    factor = min(1.0, 24 / h)
    small = cv2.resize(ink[y : y + h, x : x + w], None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    body = np.asarray(small, np.uint8)
    best, shear = -1.0, 0.0
    for tried in (-0.2, 0.0, 0.2, 0.4, 0.6):
        columns = _sheared(body, tried).sum(0, dtype=np.float32)
        value = float(columns @ columns) * (1.03 if tried == 0 else 1.0)
        if value > best:
            best, shear = value, tried
    return ink if shear == 0 else _sheared(ink, shear)


def _sheared(ink: Gray, shear: float) -> Gray:
    h, w = ink.shape
    extra = int(np.ceil(abs(shear) * h))
    matrix = np.array([[1, shear, 0 if shear > 0 else extra], [0, 1, 0]], np.float32)
    return np.asarray(cv2.warpAffine(ink, matrix, (w + extra, h)), np.uint8)


def _cells(job: FieldJob, cells: tuple[Cell, ...], frame: Frame, calibration: dict[str, float]) -> PreparedField:
    pictures = [frame(view) for cell in cells for view in cell.views]
    digit_only = job.kind == "digit"

    def finish(probabilities: Probabilities) -> FieldReading:
        rows, at = [], 0
        empty = np.zeros(probabilities.shape[1], np.float32)
        for cell in cells:
            views = probabilities[at : at + len(cell.views)]
            at += len(cell.views)
            rows.append(np.array(cell.weights) @ views / sum(cell.weights) if len(views) else empty)
        table = cell_symbols(np.stack(rows), [cell.flat for cell in cells])
        if not digit_only:
            _cross_out(table, cells)
        symbols = [
            _symbols(row, not cell.views, digit_only, _DOUBT_LEFT if cell.doubted else 1.0)
            for cell, row in zip(cells, table, strict=True)
        ]
        candidates = gaps_doubted(decode_cells(symbols))
        over = max(
            cell.over * (1 - max((given[d] for d in DIGITS if d in given), default=0.0))
            for cell, given in zip(cells, symbols, strict=True)
        )
        allowed = tuple(c for c in candidates if _allowed(c.written, job.largest))
        best = (allowed or candidates)[0].written
        readings = tuple(
            CellReading(s, given[s], cell.box) for s, given, cell in zip(best, symbols, cells, strict=True)
        )
        if over > 0.5:
            others = (Candidate(c.written, c.probability * (1 - over)) for c in candidates[1:])
            return _overflow(job, (Candidate(best, over), *others), readings)
        return _reading(job, allowed, readings) if allowed else _overflow(job, candidates, readings)

    return PreparedField(pictures, finish)


def _cross_out(table: Probabilities, cells: Sequence[Cell]) -> None:
    """Move probability to crossed out, in place, as far as the form of the ink and of its neighbours' says so.

    Marks stand before the first digit: what stands before a mark is likelier to be one, and a digit there is doubted.
    People repeat their mark: cells side by side that look alike are one as far as both may be. No digit gets surer.
    """
    form = np.array([cell.mark for cell in cells])
    told = 1 - (1 - form) * (1 - np.where(form > 0, table[:, 10] + 0.5 * table[:, 11], table[:, 10]))
    sure = form.copy()
    for k in range(len(cells) - 2, -1, -1):
        if not (cells[k].views and cells[k + 1].views):
            continue
        if told[k + 1] > 0.5:
            odds = _BEFORE_MARK * told[k] / max(1 - told[k], 1e-6)
            sure[k] = max(sure[k], float(odds / (1 + odds)))
        if k < len(cells) - 2 and max(told[k], told[k + 1]) > _MAY_BE:
            like = likeness(cells[k].views[0], cells[k + 1].views[0]) ** 2
            both = 1 - (1 - told[k] * like) * (1 - told[k + 1] * like)
            for one in (k, k + 1):
                sure[one] = max(sure[one], both if told[one] > _MAY_BE else 0.0)
        told[k] = max(told[k], sure[k])
    # Ink that is no digit is a mark as far as its form says so.
    for symbols in (slice(0, 10), slice(11, 12)):
        moved = table[:, symbols] * sure[:, None].astype(np.float32)
        table[:, symbols] -= moved
        table[:, 10] += moved.sum(1)


def _symbols(row: npt.NDArray[np.float32], empty: bool, digit_only: bool, left: float) -> dict[str, float]:
    """The probability of each symbol, of which such a share is left where there is ink."""
    if empty:
        return {EMPTY: 0.99, "1": 0.01}
    names = (*DIGITS, CROSSED, UNREADABLE)
    given = {name: float(p) for name, p in zip(names, row, strict=True)}
    if digit_only:
        total = sum(given[d] for d in DIGITS)
        return {d: given[d] / max(total, 1e-9) * max(total, 0.05) for d in DIGITS}
    if given[UNREADABLE] < 0.9:
        spare = given.pop(UNREADABLE)
        kept = max(sum(given.values()), 1e-9)
        given = {s: p / kept * (1 - spare / 2) for s, p in given.items()}
    return {symbol: p * left for symbol, p in given.items()}


def _allowed(written: str, largest: int | None) -> bool:
    return largest is None or int(value_of(written) or 0) <= largest


def _overflow(job: FieldJob, candidates: tuple[Candidate, ...], cells: tuple[CellReading, ...]) -> FieldReading:
    """A field with ink that no value it allows explains: too many digits, too large, or no digits at all."""
    if not candidates:
        return FieldReading(job.name, "", UNREADABLE, "overwritten", 0.5)
    first = candidates[0]
    return FieldReading(job.name, "", first.written, "overflow", first.probability, candidates, cells)


def _reading(job: FieldJob, candidates: tuple[Candidate, ...], cells: tuple[CellReading, ...]) -> FieldReading:
    if candidates:
        written, confidence = candidates[0].written, candidates[0].probability
    else:
        written, confidence = EMPTY * max(job.cells, 1), 0.9
    state: State = state_of(written)
    value = value_of(written) if state == "written" else ""
    return FieldReading(job.name, value, written, state, confidence, candidates, cells)
