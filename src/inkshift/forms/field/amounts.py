"""Decimals and signed numbers: what the signs beside a number's digits make of it.

The recogniser reads digits; which of them stand behind a separator, and whether a dash before them is a minus, is
told by what `signs` finds. A separator that is not seen is never made up: the number may then be whole, or the
separator was missed, each at most as likely as not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from inkshift.forms.field import signs
from inkshift.forms.field.signs import COMMA, DASH, Sign
from inkshift.forms.kinds import digits_of, number_of
from inkshift.forms.reading import DIGITS, MINUS, POINT, UNREADABLE, Candidate, FieldReading, state_of, value_of

# Share of a number's probability that is left to each of its two meanings where no separator is seen, and to the one
# that is seen where the signs count other digits than the recogniser reads: it may have read a separator as a digit.
_EITHER, _MISCOUNTED = 0.49, 0.5
# How likely a minus was missed where none is found; what a separator of thousands takes of a number that has another.
_MISSED, _THOUSANDS = 0.01, 0.25
# How likely a dash behind a number that may be negative is its minus, as bookkeepers write it, and no filler.
_BEHIND = 0.5

Seen = Sequence[Sign]


def as_amount(
    reading: FieldReading, beside: Seen, places: int, signed: bool, most: int, largest: int | None
) -> FieldReading:
    """A number that was read as digits alone, with its separator and its minus.

    places: digits behind the separator, 0 for none. signed: whether a dash before it is a minus; right behind it, it
    may be one. most: digits, at most. largest: value, in smallest units. What it may be none the less is among the
    candidates.
    """
    if reading.state != "written":
        return reading
    minus = [s for s in beside if signed and s.name == DASH and not s.before and s.behind]
    split = [s for s in beside if places and s.name in (signs.POINT, COMMA) and s.behind == places]
    rest = [s for s in beside if s not in minus and s not in split]
    if split:  # the others part thousands, or not, before it
        rest = [replace(s, behind=max(s.behind - places, 0)) if s.name in (signs.POINT, COMMA) else s for s in rest]
    negative = max((s.probability for s in minus), default=_BEHIND * _dash_behind(beside) if signed else 0.0)
    # A minus that is not seen is no candidate: a sum that lacks one was most often written without it.
    left = signs.doubt(tuple(rest), _THOUSANDS) * (1 - _MISSED if signed and not minus else 1.0)
    shares: Counter[str] = Counter()
    for one in reading.candidates:
        for text, share in _split(digits_of(one.written), split, places).items():
            for sign, likely in (("", 1 - negative), (MINUS, negative)):
                if likely and len(digits_of(text)) <= most and (largest is None or number_of(text) <= largest):
                    shares[sign + text] += one.probability * share * likely * left  # type: ignore[assignment]
    given = tuple(Candidate(text, float(p)) for text, p in shares.most_common(len(reading.candidates) + 4))
    marks = signs.names(tuple(rest))
    if not given:
        return replace(reading, value="", state="overflow", marks=marks)
    written = given[0].written
    return replace(
        reading,
        value=value_of(written),
        written=written,
        confidence=given[0].probability,
        candidates=given[:20],
        marks=marks,
    )


def _dash_behind(beside: Seen) -> float:
    """How sure it is, 0 to 1, that a dash stands right behind a number, and no separator or slash before the dash: then
    it stands for zeros, or closes the amount."""
    if any(s.name in (signs.POINT, COMMA, signs.SLASH) and not s.behind for s in beside):
        return 0.0
    return max((s.probability for s in beside if s.name == DASH and not s.behind), default=0.0)


def _split(digits: str, split: Seen, places: int) -> dict[str, float]:
    """What digits mean, with the share of their probability that each meaning has."""
    if not places:
        return {digits: 1.0}
    whole, inner = f"{digits}{POINT}{'0' * places}", ""
    if len(digits) >= places:
        inner = f"{digits[:-places] or '0'}{POINT}{digits[-places:]}"
    best = max(split, key=lambda s: s.probability, default=None)
    if best is None or not inner:
        return {text: _EITHER for text in (whole, inner) if text}
    counted = 1.0 if best.before + best.behind == len(digits) else _MISCOUNTED
    open_ = (1 - best.probability) * _EITHER
    return {inner: best.probability * counted + open_, whole: open_}


def in_cells(reading: FieldReading, places: int) -> FieldReading:
    """A decimal read cell by cell, its separator printed before the last `places` cells.

    Where one of these holds no digit, what the others mean is open, and so is the number.
    """
    if reading.state not in ("written", "overflow"):
        return reading
    given = tuple(replace(c, written=_pointed(c.written, places)) for c in reading.candidates)
    written = _pointed(reading.written, places)
    state = state_of(written) if reading.state == "written" else reading.state
    value = value_of(written) if state == "written" else ""
    return replace(reading, value=value, written=written, state=state, candidates=given)


def _pointed(written: str, places: int) -> str:
    head, tail = written[:-places], written[-places:]
    if any(symbol in DIGITS for symbol in written):
        tail = "".join(symbol if symbol in DIGITS else UNREADABLE for symbol in tail)
        return f"{head}{POINT}{tail}"
    return written
