"""What a field may hold, for its form's rules to choose from: its candidates, and numbers that a rule proposes.

A place of a field is *clear* where its candidates agree on its symbol with probability 0.99 or more. What is clear
stays: a candidate that reads it otherwise is never chosen, and no number is proposed that would change it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inkshift.forms.joint.tree import Number
from inkshift.forms.kinds import digits_of, number_of
from inkshift.forms.reading import DIGITS, EMPTY, MINUS, POINT, UNREADABLE, FieldReading
from inkshift.forms.rules import COUNTED
from inkshift.forms.template import FieldSpec

CLEAR = 0.99
"""From what probability on a place counts as clearly written."""
# Of the probability that a place, or a field, is not what it looks like most, how much at least is left for what is not
# among the candidates; the least probability that a candidate or a proposed number is considered with.
_UNLISTED, _FAINT = 0.1, 1e-9
_PROPOSED = 8

Prior = Callable[[int], float]
"""How often a field holds a number: 1 where all that it can hold were equally common."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A way to write a number. mask: `#` for each digit, the other symbols as they are. share: its probability.

    digits: for each `#` the digits that candidates have there, with probabilities. other: of each digit beside them.
    """

    mask: str
    share: float
    digits: tuple[dict[str, float], ...]
    other: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    """What a field may hold. written, number: its values as written, and as numbers with weights.

    given: its candidates as read independently, with their probabilities. rest: probability of what is not listed.
    patterns: how a number that is not listed may be written.
    """

    spec: FieldSpec
    written: tuple[str, ...]
    number: Number
    given: dict[str, float]
    rest: float
    patterns: tuple[Pattern, ...]


def domain_of(field: FieldReading, spec: FieldSpec, prior: Prior | None = None) -> Domain:
    """What `field` may hold by itself. A field that is overwritten or overflows may hold any number that fits it."""
    given: dict[str, float] = {}
    for candidate in field.candidates:
        given[candidate.written] = given.get(candidate.written, 0.0) + candidate.probability
    given = given or {field.written: field.confidence}
    known = {text: p for text, p in given.items() if UNREADABLE not in text and fits(text, spec)}
    if field.state not in COUNTED:
        known.pop(field.written, None)
    clear = _clear(given, spec.cells > 0) if field.state != "overflow" else []
    listed = {text: p for text, p in known.items() if p >= _FAINT and _keeps(text, clear)}
    contradicting = sum(p for text, p in known.items() if text not in listed)
    rest = max(1 - sum(known.values()), _UNLISTED * (1 - max(given.values())))
    weights = [p * (prior(number_of(text)) if prior else 1.0) for text, p in listed.items()]
    values = np.array([number_of(text) for text in listed], np.int64)
    number = Number(values, np.array([*weights, rest + contradicting]))
    return Domain(spec, tuple(listed), number, given, rest, _patterns(field, given, spec, clear))


def fits(text: str, spec: FieldSpec) -> bool:
    """Whether a field may hold `text`; crossed-out and empty cells count as no digits."""
    limit, count = spec.limit, len(digits_of(text))
    return not count or (
        (bool(limit.cells) or limit.digits[0] <= count)
        and count <= limit.digits[1]
        and (POINT in text) == bool(limit.places)
        and (limit.largest is None or number_of(text) <= limit.largest * 10**limit.places)
    )


def most_numbers(domain: Domain) -> int:
    """How many numbers a field can hold, by its longest candidate and by its limits."""
    limit = domain.spec.limit
    longest = max((len(digits_of(text)) for text in domain.given), default=0) or limit.digits[1]
    free = int("9" * min(limit.cells or longest, limit.digits[1])) + 1
    return free if limit.largest is None else min(free, limit.largest * 10**limit.places + 1)


def with_proposals(domain: Domain, numbers: Sequence[int], prior: Prior | None = None) -> Domain:
    """The domain with these numbers, the likeliest first, among its values where it can hold them; at most eight.

    A number is proposed where it differs from what was read in one digit at most that no candidate has in its place.
    """
    own: dict[str, float] = {}
    values: list[int] = []
    for value in numbers:
        text, share = _filled(value, domain)
        if share >= _FAINT and text not in own and text not in domain.given and text not in domain.written:
            own[text] = share * (prior(value) if prior else 1.0)
            values.append(value)
        if len(own) == _PROPOSED:
            break
    if not own:
        return domain
    left = max(float(domain.number.weights[-1]) - sum(own.values()), 0.0)
    number = Number(
        np.concatenate([domain.number.values, np.array(values, np.int64)]),
        np.concatenate([domain.number.weights[:-1], list(own.values()), [left]]),
    )
    return replace(domain, written=(*domain.written, *own), number=number)


def _filled(value: int, domain: Domain) -> tuple[str, float]:
    """`value` written as one of the field's patterns has it, and its probability; 0 where none can hold it."""
    for pattern in domain.patterns:
        fewest = len(pattern.digits) if domain.spec.cells else domain.spec.limit.places + 1
        digits = str(abs(value)).zfill(fewest)
        if len(digits) != len(pattern.digits) or (value < 0) != (MINUS in pattern.mask):
            continue
        listed = [shares.get(d, 0.0) for d, shares in zip(digits, pattern.digits, strict=True)]
        if sum(not p for p in listed) > 1:
            continue
        share = pattern.share * np.prod([p or other for p, other in zip(listed, pattern.other, strict=True)])
        left = iter(digits)
        text = "".join(next(left) if symbol == "#" else symbol for symbol in pattern.mask)
        if share and fits(text, domain.spec):
            return text, float(share)
    return "", 0.0


_Clear = list[tuple[int, str]]


def _clear(given: dict[str, float], cells: bool) -> _Clear:
    """The clear places, counted from the left, and from the right as -1, -2, and their symbols; "" beyond the end.

    In cells, one in which no ink was found stays empty at any rate: a sum does not put a digit where there is none.
    """
    total = sum(given.values())
    longest = max(map(len, given))
    clear = []
    for place in [*range(longest + 1), *range(-longest - 1, 0)]:
        shares: Counter[str] = Counter()
        for text, p in given.items():
            shares[_at(text, place)] += p / max(total, 1e-12)  # type: ignore[assignment]
        symbol, share = shares.most_common(1)[0]
        if symbol != UNREADABLE and (share >= CLEAR or (cells and symbol == EMPTY)):
            clear.append((place, symbol))
    return clear


def _at(text: str, place: int) -> str:
    return text[place] if -len(text) <= place < len(text) else ""


def _keeps(text: str, clear: _Clear) -> bool:
    return all(_at(text, place) == symbol for place, symbol in clear)


def _patterns(field: FieldReading, given: dict[str, float], spec: FieldSpec, clear: _Clear) -> tuple[Pattern, ...]:
    """How a number that is not listed may be written, the likeliest first: as the candidates are."""
    if field.state == "overflow":
        lengths = [spec.cells] if spec.cells else range(max(spec.digits[0], 1), spec.digits[1] + 1)
        even = dict.fromkeys(DIGITS, 0.1)
        return tuple(Pattern("#" * n, 1 / len(lengths), (even,) * n, (0.0,) * n) for n in lengths)
    groups: dict[str, dict[str, float]] = {}
    for text, p in given.items():
        mask = "".join("#" if s in DIGITS or s == UNREADABLE else s for s in text)
        if "#" in mask and all((_at(mask, k) in ("#", s) if s else not _at(mask, k)) for k, s in clear):
            groups.setdefault(mask, {})[text] = p
    found = [_pattern(mask, texts, clear) for mask, texts in groups.items()]
    return tuple(sorted(found, key=lambda pattern: -pattern.share))


def _pattern(mask: str, texts: dict[str, float], clear: _Clear) -> Pattern:
    share = sum(texts.values())
    fixed = {k % len(mask): s for k, s in clear if _at(mask, k)}
    digits, other = [], []
    for k in (k for k, symbol in enumerate(mask) if symbol == "#"):
        shares: dict[str, float] = {fixed[k]: 1.0} if k in fixed else {}
        for text, p in texts.items() if k not in fixed else ():
            for digit in DIGITS if text[k] == UNREADABLE else text[k]:
                shares[digit] = shares.get(digit, 0.0) + p / share / (10 if text[k] == UNREADABLE else 1)
        digits.append(shares)
        other.append(_UNLISTED * (1 - max(shares.values())) / max(10 - len(shares), 1))
    return Pattern(mask, share, tuple(digits), tuple(other))


def prior_of(values: Sequence[int], largest: int) -> Prior:
    """A prior for a field learned from the numbers it held on past forms; largest: the largest number it can hold.

    Numbers that differ by a quarter or less count as alike, and one more of each kind is taken to have been seen.
    """
    edges = np.unique(np.concatenate([np.floor(np.expm1(np.arange(0, np.log1p(largest), 0.25))), [largest + 1]]))
    counts = np.histogram(values, edges)[0] + 1.0
    common = counts / counts.sum() / (np.diff(edges) / (largest + 1))

    def prior(value: int) -> float:
        return float(common[np.clip(np.searchsorted(edges, value, "right") - 1, 0, len(common) - 1)])

    return prior
