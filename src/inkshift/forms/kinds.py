"""What a value of each kind of field is: how it is written down, checked, and counted in a rule."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from datetime import date
from typing import Literal

from inkshift.errors import SettingError
from inkshift.forms.reading import DIGITS, MINUS, POINT, SIGNS, Candidate, FieldReading, Kind, value_of

# Digits of a number that is read or stands in a rule; characters of a text.
MOST_DIGITS, MOST_TEXT = 20, 500

COUNTING: tuple[Kind, ...] = ("number", "decimal", "tick")
"""Kinds that rules take."""
WITH_DIGITS: tuple[Kind, ...] = ("number", "decimal")
"""Kinds that recognisers read."""

Wanted = Literal["number", "signed", "decimal", "tick", "text", "date"]
Order = Literal["dmy", "mdy", "ymd"]
_CELLS: dict[Order, re.Pattern[str]] = {
    "dmy": re.compile("(?P<day>[0-9]{2})(?P<month>[0-9]{2})(?P<year>[1-9][0-9]{3})"),
    "mdy": re.compile("(?P<month>[0-9]{2})(?P<day>[0-9]{2})(?P<year>[1-9][0-9]{3})"),
    "ymd": re.compile("(?P<year>[1-9][0-9]{3})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"),
}
_DAY_FIRST = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")


class KindError(SettingError):
    """A text is no value of its kind. wanted: what is one, in a word."""

    def __init__(self, wanted: Wanted, expected: str, text: str) -> None:
        super().__init__(f"expected {expected}, found {text[:40]!r}")
        self.wanted, self.expected = wanted, expected


def parse_value(text: str, kind: Kind = "number", places: int = 0, signed: bool = False) -> str:
    """The value that a text gives, in the one form in which it is kept and compared.

    A number is 1 to 20 digits, leading zeros kept; a decimal `12.50`, typed with point or comma and all its `places`; a
    tick `1` or `0`; a date `2026-11-28`, also typed `28.11.2026`; a text is what it is, on one line. signed: may begin
    with a minus. Raises KindError.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    if kind == "text":
        if not 1 <= len(text) <= MOST_TEXT or not text.isprintable():
            raise KindError("text", f"1 to {MOST_TEXT} characters", text)
        return text
    if kind == "date":
        return _date(text)
    if kind == "tick":
        if text not in ("0", "1"):
            raise KindError("tick", "1 (ticked) or 0 (not)", text)
        return text
    return _number(text, places if kind == "decimal" else 0, signed)


def _number(text: str, places: int, signed: bool) -> str:
    minus = MINUS if signed and text[:1] in (MINUS, "\N{MINUS SIGN}") else ""
    plain = text[len(minus) :]
    whole, _, behind = plain.replace(",", POINT).partition(POINT) if places else (plain, "", "")
    fits = len(behind) == places and 1 <= len(whole + behind) <= MOST_DIGITS
    if not fits or (whole + behind).strip(DIGITS):
        what = f"1 to {MOST_DIGITS} digits" + (", with a minus before them or without" if signed else "")
        what += f", {places} of them behind a point or comma" if places else ""
        raise KindError("decimal" if places else "signed" if signed else "number", what, text)
    return f"{minus}{whole or '0'}{POINT if places else ''}{behind}"


def _date(text: str) -> str:
    found = _DAY_FIRST.fullmatch(text)
    try:
        if found:
            return date(int(found[3]), int(found[2]), int(found[1])).isoformat()
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise KindError("date", "a date such as 2026-11-28 or 28.11.2026", text)


def as_date(reading: FieldReading, order: Order) -> FieldReading:
    """Eight cells that were read as digits, as a date: the most probable candidate that is a day of the calendar.

    order: of day, month and year in the cells. Its confidence stays its own, since who writes a day that there is not,
    or in another order, writes no other day by it. What is no date at all, or more than its cells hold, is `unread`: a
    person is to read it.
    """
    if reading.state in ("blank", "crossed-out"):
        return reading
    given = () if reading.state == "overflow" else reading.candidates
    days = [Candidate(day, one.probability) for one in given if (day := _day(one.written, order))]
    if not days:
        return replace(reading, value="", state="unread", confidence=0.0, candidates=())
    day = days[0].written
    sure = reading.confidence if day == _day(reading.written, order) else min(days[0].probability, reading.confidence)
    return replace(
        reading, value=day, written=day, state="written", confidence=sure, candidates=tuple(days), kind="date"
    )


def _day(cells: str, order: Order) -> str:
    """The date in eight digits; empty where there is none."""
    found = _CELLS[order].fullmatch(cells)
    try:
        return date(**{part: int(digits) for part, digits in found.groupdict().items()}).isoformat() if found else ""
    except ValueError:
        return ""


def digits_of(text: str) -> str:
    """The digits of a value or of `written`, without separator and minus."""
    return "".join(symbol for symbol in value_of(text) if symbol not in SIGNS)


def plain(value: str, fewest: int = 1) -> str:
    """What values are compared by: a number without the zeros before it, down to `fewest` digits, and without those at
    the end behind its separator; anything else as it is."""
    found = _NUMBER.fullmatch(value)
    if not found:
        return value
    minus, whole, behind = found[1], found[2], found[3] or ""
    spare = min(len(whole) - 1, len(whole + behind) - fewest)
    zeros = max(0, min(spare, len(whole) - len(whole.lstrip("0"))))
    text = f"{whole[zeros:]}{POINT}{behind.rstrip('0')}".rstrip(POINT)
    return f"{minus if text.strip('0' + POINT) else ''}{text}"


def number_of(written: str) -> int:
    """What a field counts for in a rule: nothing where it is blank or crossed out, a decimal in its smallest unit."""
    return int(value_of(written).replace(POINT, "") or 0)


def shown(number: int, places: int) -> str:
    """A number of smallest units as people write it: 1250 with two places is `12.50`."""
    if not places:
        return str(number)
    text = str(abs(number)).zfill(places + 1)
    return f"{'-' if number < 0 else ''}{text[:-places]}{POINT}{text[-places:]}"
