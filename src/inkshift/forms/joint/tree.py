"""Unknown numbers that linear rules link: how probable each of their values is, and the likeliest of all at once.

Exact by passing messages where no two rules close a ring (Pearl, "Probabilistic Reasoning in Intelligent Systems",
1988, chapter 4); a sum sends on the distribution of its partial sums. Where rules close rings, the numbers that close
them are fixed to each of their values in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Floats

Ints = npt.NDArray[np.int64]

CASES, TERMS = 400, 8_000
"""In how many ways the numbers that close rings may be fixed, and that times the terms of all links, before it is left
to `linked`."""
# Partial sums less probable than the first, against the likeliest, are left out, and those beyond the second in number.
# Sums that lie within so many numbers are put together in a table.
_FAINT, _MOST_SUMS, _DENSE = 1e-12, 4096, 1 << 16
# Links one behind the other through which messages are passed: Python goes no deeper than a thousand calls.
_DEEPEST = 400
WORK = 2_000_000
"""Steps for all fields of a form, each about a microsecond of a processor. They are counted, so that the result is the
same on any machine under any load."""


class UnfinishedError(Exception):
    """The steps were used up before the work was done."""


class StepBudget:
    """Steps that are left to a form."""

    def __init__(self, left: int | None = None) -> None:
        self.left = WORK if left is None else left

    def spend(self, steps: int) -> None:
        """Called before the work is done. Raises UnfinishedError where so many steps are not left."""
        self.left -= steps
        if self.left < 0:
            raise UnfinishedError


@dataclass(frozen=True, slots=True)
class Number:
    """values: (n,) int64 of what it may be. weights: (n + 1,), at least 0, of each, and last of any other value."""

    values: Ints
    weights: Floats


@dataclass(frozen=True, slots=True)
class Link:
    """A rule: the sum of coefficient times value over `terms`, (number, coefficient), equals `bound`, or is at most it.

    What keeps it weighs 1, what does not `broken`; `lost`: weights where one of its values is unknown, and where
    several are.
    """

    terms: tuple[tuple[int, int], ...]
    equal: bool
    bound: int
    broken: float
    lost: tuple[float, float]

    def weight(self, values: Sequence[int | None]) -> float:
        """Of one assignment to all numbers; None stands for an unknown value."""
        mine = [(c, values[v]) for v, c in self.terms]
        unknown = sum(x is None for _, x in mine)
        if unknown:
            return self.lost[unknown > 1]
        total = sum(c * x for c, x in mine if x is not None)
        return 1.0 if (total == self.bound if self.equal else total <= self.bound) else self.broken


@dataclass(frozen=True, slots=True)
class Semiring:
    """How the weights of alternatives are put together: added up for probabilities, the largest for the likeliest."""

    plus: np.ufunc
    running: Callable[[Floats], Floats]
    whole: Callable[[Floats], float]


ALL = Semiring(np.add, lambda w: np.asarray(np.cumsum(w)), lambda w: float(w.sum()))
LIKELIEST = Semiring(np.maximum, lambda w: np.asarray(np.maximum.accumulate(w)), lambda w: float(w.max(initial=0.0)))


@dataclass(frozen=True, slots=True)
class _Sums:
    """Partial sums, sorted, with weights; weights of all with one unknown value in them, and with several."""

    sums: Ints
    weights: Floats
    one: float = 0.0
    many: float = 0.0


_NOTHING = _Sums(np.zeros(1, np.int64), np.ones(1))


def infer(numbers: Sequence[Number], links: Sequence[Link], way: Semiring, work: StepBudget) -> list[Floats] | None:
    """For each number the weight, summed or largest by `way`, of all assignments in which it has each value.

    None where links close too many rings (`CASES`, `TERMS`). Weights are relative, the same for all numbers that hang
    together. Raises UnfinishedError.
    """
    out: list[Floats] = [number.weights for number in numbers]
    for members, own in components(len(numbers), links):
        cut = _cut(numbers, members, own, work)
        if cut is None:
            return None
        for v, weights in _by_cases(numbers, members, own, cut, way, work).items():
            out[v] = weights
    return out


def components(count: int, links: Sequence[Link]) -> list[tuple[list[int], list[Link]]]:
    """The numbers that hang together, and their links; numbers without a link are left out."""
    group = list(range(count))

    def root(v: int) -> int:
        while group[v] != v:
            group[v] = v = group[group[v]]
        return v

    for link in links:
        for v, _ in link.terms:
            group[root(v)] = root(link.terms[0][0])
    parts: dict[int, tuple[list[int], list[Link]]] = {root(link.terms[0][0]): ([], []) for link in links}
    for v in range(count):
        if root(v) in parts:
            parts[root(v)][0].append(v)
    for link in links:
        parts[root(link.terms[0][0])][1].append(link)
    return list(parts.values())


def is_tree(links: Sequence[Link]) -> bool:
    """Whether no two links, or chains of them, meet twice. They are all taken to hang together, or to be apart."""
    names = {v for link in links for v, _ in link.terms}
    parts = components(max(names, default=-1) + 1, links)
    return all(sum(len(link.terms) for link in own) == len(own) + len(members) - 1 for members, own in parts)


def _cut(
    numbers: Sequence[Number], members: Sequence[int], links: Sequence[Link], work: StepBudget
) -> list[int] | None:
    """Numbers without which no ring is left: those in most links first, of them those with fewest values.

    None where they would be fixed in too many ways.
    """
    cut: list[int] = []
    terms = sum(len(link.terms) for link in links)
    while prod(len(numbers[v].weights) for v in cut) <= max(min(CASES, TERMS // terms), 1):
        work.spend(terms + len(members))
        left = [Link(some, True, 0, 1, (1, 1)) for link in links if (some := _without(link, set(cut)))]
        if is_tree(left):
            return cut
        uses = Counter(v for link in left for v, _ in link.terms)
        cut.append(max(uses, key=lambda v: (uses[v], -len(numbers[v].weights), -v)))
    return None


def _without(link: Link, cut: set[int]) -> tuple[tuple[int, int], ...]:
    return tuple(term for term in link.terms if term[0] not in cut)


def _by_cases(
    numbers: Sequence[Number],
    members: Sequence[int],
    links: Sequence[Link],
    cut: Sequence[int],
    way: Semiring,
    work: StepBudget,
) -> dict[int, Floats]:
    """As `infer`, for numbers that hang together, each number in `cut` fixed to each of its values in turn."""
    copies: dict[int, int] = {}
    closing = set(cut)
    opened = []
    values = {v: numbers[v].values for v in members}
    for link in links:
        terms = []
        for v, c in link.terms:
            name = v
            if v in closing:
                name = len(numbers) + len(copies)
                copies[name], values[name] = v, numbers[v].values
            terms.append((name, c))
        opened.append(Link(tuple(terms), link.equal, link.bound, link.broken, link.lost))
    out = {v: np.zeros_like(numbers[v].weights) for v in members}
    choices = [np.flatnonzero(numbers[v].weights).tolist() for v in cut]
    for case in product(*choices):
        fixed = dict(zip(cut, case, strict=True))
        weights = {v: numbers[v].weights for v in members if v not in fixed}
        weights |= {name: np.eye(len(numbers[v].weights))[fixed[v]] for name, v in copies.items()}
        found, whole = _forest(weights, values, opened, way, work)
        own = float(np.prod([numbers[v].weights[k] for v, k in fixed.items()]))
        for v in members:
            share = own * (np.eye(len(out[v]))[fixed[v]] * whole if v in fixed else found[v])
            out[v] = way.plus(out[v], share)
    return out


def _forest(
    weights: dict[int, Floats], values: dict[int, Ints], links: Sequence[Link], way: Semiring, work: StepBudget
) -> tuple[dict[int, Floats], float]:
    """The weight of each value of each number, and that of all assignments together; without rings."""
    at: dict[int, list[int]] = {v: [] for v in weights}
    for f, link in enumerate(links):
        for v, _ in link.terms:
            at[v].append(f)
    inbox: dict[tuple[int, int], Floats] = {}

    def belief(v: int, besides: int = -1) -> Floats:
        work.spend(2 + len(at[v]))
        heard = [inbox[f, v] for f in at[v] if f != besides and (f, v) in inbox]
        return np.asarray(np.prod([weights[v], *heard], axis=0))

    def say(f: int, to: Sequence[int]) -> None:
        names = [u for u, _ in links[f].terms]
        told = _messages(links[f], [values[u] for u in names], [belief(u, f) for u in names], way, to, work)
        inbox.update({(f, u): message for u, message in told.items()})

    def ask(f: int, v: int, depth: int = 0) -> None:
        """Have link f tell v what is known behind it."""
        if depth == _DEEPEST:
            raise UnfinishedError
        for u, _ in links[f].terms:
            for g in at[u] if u != v else ():
                if g != f:
                    ask(g, u, depth + 1)
        say(f, [v])

    def tell(v: int, source: int = -1) -> list[int]:
        """Pass on what is known of v to all numbers behind it; v and these."""
        part = [v]
        for f in (f for f in at[v] if f != source):
            others = [u for u, _ in links[f].terms if u != v]
            say(f, others)
            for u in others:
                part += tell(u, f)
        return part

    out: dict[int, Floats] = {}
    wholes = []
    for v in weights:
        if v in out:
            continue
        for f in at[v]:
            ask(f, v)
        part = tell(v)
        out |= {u: belief(u) for u in part}
        wholes.append((part, way.whole(out[v])))
    work.spend(len(wholes) ** 2 // 10)
    return _together(out, wholes)


def _together(out: dict[int, Floats], wholes: Sequence[tuple[list[int], float]]) -> tuple[dict[int, Floats], float]:
    """The weights of trees that do not meet, each times those of the others, and the weight of all."""
    for k, (part, _) in enumerate(wholes):
        rest = prod(z for j, (_, z) in enumerate(wholes) if j != k)
        out |= {u: out[u] * rest for u in part}
    return out, prod(z for _, z in wholes)


def _messages(
    link: Link, values: Sequence[Ints], beliefs: Sequence[Floats], way: Semiring, to: Sequence[int], work: StepBudget
) -> dict[int, Floats]:
    """What a link says to each of the numbers `to`: (n + 1,) the weight of each of its values, given the others'."""
    parts = [_lift(c * x, belief, way) for (_, c), x, belief in zip(link.terms, values, beliefs, strict=True)]
    before, after = [_NOTHING], [_NOTHING]
    for part in parts[:-1]:
        before.append(_join(before[-1], part, way, work))
    for part in parts[:0:-1]:
        after.append(_join(part, after[-1], way, work))
    out = {}
    for k, (v, c) in enumerate(link.terms):
        if v in to:
            work.spend(len(values[k]) * (20 + len(before[k].sums) // 20))
            out[v] = _message(link, c * values[k], before[k], after[-1 - k], way)
    return out


def _message(link: Link, terms: Ints, p: _Sums, q: _Sums, way: Semiring) -> Floats:
    """The weights of a number's values, already times its coefficient, given the sums of those before and after it."""
    both, one, many = _totals(p, q, way)
    held = np.zeros(len(terms))
    weights = q.weights if link.equal else way.running(q.weights)
    for k, term in enumerate(terms.tolist() if len(q.sums) else ()):
        wanted = link.bound - term - p.sums
        at = np.searchsorted(q.sums, wanted, "right") - 1
        fits = at >= 0
        if link.equal:
            fits &= q.sums[np.maximum(at, 0)] == wanted
        held[k] = way.whole(p.weights[fits] * weights[at[fits]])
    # Among all assignments are those that keep the rule: they are not to weigh twice.
    extra = held * (1 - link.broken) if way is ALL else held
    lost, several = link.lost
    known = way.plus(way.plus(extra, link.broken * both), way.plus(lost * one, several * many))
    unknown = way.plus(lost * both, several * way.plus(one, many))
    return np.append(known, unknown)


def _lift(terms: Ints, belief: Floats, way: Semiring) -> _Sums:
    sums, weights = _merged(terms, belief[:-1], way)
    return _Sums(sums, weights, float(belief[-1]))


def _join(p: _Sums, q: _Sums, way: Semiring, work: StepBudget) -> _Sums:
    """The sums of one of each."""
    _, one, many = _totals(p, q, way)
    few, more = (p, q) if len(p.sums) < len(q.sums) else (q, p)
    work.spend(20 + len(more.sums) // 50)
    if not len(few.sums):
        return _Sums(few.sums, few.weights, one, many)
    if len(few.sums) == 1:
        return _Sums(*_strongest(more.sums + few.sums[0], few.weights[0] * more.weights), one, many)
    work.spend(len(few.sums) * len(more.sums) // 20)
    first, last = int(p.sums[0] + q.sums[0]), int(p.sums[-1] + q.sums[-1])
    if last - first < _DENSE:
        work.spend(3 * len(few.sums) + (last - first) // 1000)
        table = np.zeros(last - first + 1)
        for value, weight in zip(few.sums.tolist(), few.weights.tolist(), strict=True):
            at = more.sums + (value - first)
            table[at] = way.plus(table[at], weight * more.weights)
        sums = np.flatnonzero(table)
        return _Sums(*_strongest(sums + first, table[sums]), one, many)
    sums = (p.sums[:, None] + q.sums).ravel()
    weights = np.asarray(p.weights[:, None] * q.weights).ravel()
    return _Sums(*_merged(sums, weights, way), one, many)


def _totals(p: _Sums, q: _Sums, way: Semiring) -> tuple[float, float, float]:
    """The weight of all sums of two known ones, of those with one unknown value in them, and with several."""
    a, b, plus = way.whole(p.weights), way.whole(q.weights), way.plus
    one = plus(a * q.one, p.one * b)
    many = plus(plus(p.many * plus(b, plus(q.one, q.many)), plus(a, p.one) * q.many), p.one * q.one)
    return a * b, float(one), float(many)


def _merged(sums: Ints, weights: Floats, way: Semiring) -> tuple[Ints, Floats]:
    """Each sum once, sorted, its weights put together."""
    if not len(sums):
        return sums, weights
    order = np.argsort(sums, kind="stable")
    sums = sums[order]
    first = np.flatnonzero(np.concatenate([[True], sums[1:] != sums[:-1]]))
    return _strongest(sums[first], np.asarray(way.plus.reduceat(weights[order], first)))


def _strongest(sums: Ints, weights: Floats) -> tuple[Ints, Floats]:
    """Sums without the faint ones."""
    keep = np.flatnonzero(weights > _FAINT * weights.max(initial=0.0))
    if len(keep) > _MOST_SUMS:
        keep = np.sort(keep[np.argsort(-weights[keep], kind="stable")[:_MOST_SUMS]])
    return sums[keep], weights[keep]


def partners(numbers: Sequence[Number], link: Link, work: StepBudget) -> dict[int, list[int]]:
    """For each number of an equality its values that would make it hold with known values of the others, the likeliest
    first; those of a number are left out where nothing is known of another. Raises UnfinishedError."""
    each = [_lift(c * numbers[v].values, numbers[v].weights, ALL) for v, c in link.terms]
    work.spend(20 * len(each))
    # What can be one value only moves the sums of the others; with none, there are no sums at all.
    fixed = sum(int(one.sums[0]) for one in each if len(one.sums) == 1)
    none = [k for k, one in enumerate(each) if not len(one.sums)]
    open_ = [k for k, one in enumerate(each) if len(one.sums) > 1]
    # The sums of the numbers before each are put together once, those of the numbers behind for each anew.
    out: dict[int, list[int]] = {}
    before, sums = _NOTHING, {}
    for place, k in enumerate(open_):
        others = before
        for other in open_[place + 1 :]:
            others = _with_likely(others, each[other], work)
        sums[k] = _bound_less(link.bound - fixed, others)
        before = _with_likely(before, each[k], work)
    of_all = _bound_less(link.bound - fixed, before)
    for k, (v, own) in enumerate(link.terms):
        if not set(none) - {k}:
            apart = int(each[k].sums[0]) if len(each[k].sums) == 1 else 0
            wanted = sums.get(k, of_all)
            out[v] = [(x + apart) // own for x in wanted if (x + apart) % own == 0 and (x + apart) // own >= 0]
    return out


def _bound_less(bound: int, sums: _Sums) -> list[int]:
    """What is left of a bound by each sum, the likeliest first."""
    order = np.argsort(-sums.weights, kind="stable")
    return [bound - x for x in sums.sums[order].tolist()]


def _with_likely(sums: _Sums, one: _Sums, work: StepBudget) -> _Sums:
    """The likeliest sums of one of each."""
    joined = _join(sums, one, ALL, work)
    if len(joined.sums) <= 64:
        return joined
    work.spend(len(joined.sums) // 20)
    few = np.sort(np.argsort(-joined.weights, kind="stable")[:64])
    return _Sums(joined.sums[few], joined.weights[few])
