"""The likeliest assignment of many numbers whose rules close rings, and how sure each number of it is.

Most numbers are what they look like, and most rules hold. So the search begins at the likeliest value of each number by
itself, and repairs: it takes a rule that does not hold, and either leaves it broken or changes one of its numbers.
Partial repairs are taken up in the order of the least that they can come to (A*, Hart, Nilsson and Raphael 1968), so
that the first complete one is the likeliest assignment of all. What a rule must cost yet is bounded below from its own
numbers alone, the cost of a number being shared out among its rules.

Work is counted in steps, not in seconds: the result is the same on any machine under any load.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from inkshift.arrays import Floats
from inkshift.forms.joint.tree import Link, Number, StepBudget, UnfinishedError

STEPS = 40_000
"""How many changes are weighed at most to find the likeliest assignment, and as many again to find how sure it is: each
for less than a second of a processor where a number is in few rules. What more it takes is counted as `StepBudget`."""
# Partial repairs taken up for each value beside the likeliest, and how many nats less probable it may be to be searched
# for: beyond them, what all that wait come to at least stands for them.
_LOOK, _REACH = 100, 9.0
_MODULUS = 8191


def search(
    numbers: Sequence[Number], links: Sequence[Link], steps: int | None = None, work: StepBudget | None = None
) -> tuple[list[Floats], list[int]]:
    """For each number the probability of each of its values, last of an unknown one, and the place of its value in
    the likeliest assignment.

    A value that is not in it weighs what the likeliest assignments with it weigh that change no more than it brings
    with it, or as much as these can weigh at most: a number is hardly ever surer than it should be. Raises
    UnfinishedError where `steps` do not suffice, or those left of `work`.
    """
    steps, work = STEPS if steps is None else steps, work or StepBudget()
    costs = [_costs(number.weights) for number in numbers]
    best = _best(_Puzzle(numbers, links, costs, [int(cost.argmin()) for cost in costs], work), _Steps(steps, work))
    beside = [cost - cost[k] for cost, k in zip(costs, best, strict=True)]
    puzzle = _Puzzle(numbers, links, [cost.clip(0) for cost in beside], best, work)
    standing = frozenset(f for f, off in enumerate(puzzle.offs) if not puzzle.holds(f, off))
    whole, left = _log_weight(numbers, links, best), _Steps(steps, work)
    size = len(numbers) + sum(len(link.terms) for link in links)
    odds = [np.eye(len(cost))[place] for cost, place in zip(costs, best, strict=True)]
    found: dict[frozenset[tuple[int, int]], float] = {}
    for v in range(len(numbers)):
        # What is broken in the likeliest assignment may come to hold, where one of its numbers changes.
        open_ = standing & {f for f, _ in puzzle.at[v]}
        back = sum(puzzle.broken[f] for f in open_)
        for k in (k for k in puzzle.ways[v] if k != best[v]):
            spent = -back + min(0.0, beside[v][k])
            start = _Node({}, {}, standing - open_, frozenset(), spent, dict.fromkeys(open_, 0.0))
            node = _changed(puzzle, start, (0, 0), v, k)
            for step, (least, repair, waiting) in enumerate(_repairs(puzzle, node, _REACH, left)):
                if step == _LOOK or least > _REACH or left.left < 0:
                    odds[v][k] += np.exp(np.minimum(0.0, [-least, *(-each for each, _, _ in waiting)])).sum()
                    break
                if not repair.todo:
                    work.spend(size // 2)
                    places = [repair.changed.get(u, place) for u, place in enumerate(best)]
                    moved = frozenset((u, p) for u, p in repair.changed.items() if p != best[u])
                    found[moved] = np.exp(min(0.0, _log_weight(numbers, links, places) - whole))
    for moved, weight in found.items():
        for u, p in moved:
            odds[u][p] += weight
    return [own / own.sum() for own in odds], best


def _best(puzzle: _Puzzle, steps: _Steps) -> list[int]:
    """The likeliest assignment. Raises UnfinishedError."""
    standing = {f: puzzle.least(f, off) for f, off in enumerate(puzzle.offs) if not puzzle.holds(f, off)}
    reach = sum(puzzle.broken[f] for f in standing) + 1e-6
    start = _Node({}, {}, frozenset(), frozenset(), 0.0, standing)
    for _, node, _ in _repairs(puzzle, start, reach, steps):
        if not node.todo:
            return [node.changed.get(v, k) for v, k in enumerate(puzzle.start)]
        if steps.left < 0:
            break
    raise UnfinishedError


def _costs(weights: Floats) -> Floats:
    """How much less likely than the likeliest each value is, in nats; infinite where it cannot be."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(weights.max()) - np.log(weights))


def _log_weight(numbers: Sequence[Number], links: Sequence[Link], places: Sequence[int]) -> float:
    values = [int(n.values[k]) if k < len(n.values) else None for n, k in zip(numbers, places, strict=True)]
    own = sum(np.log(n.weights[k]) for n, k in zip(numbers, places, strict=True))
    return float(own + sum(np.log(link.weight(values)) for link in links))


@dataclass(slots=True)
class _Steps:
    """left: changes that may be weighed yet. work: what is left to the form."""

    left: int
    work: StepBudget


class _Puzzle:
    """Numbers at a start, and what changing each costs. at: the links of each number, with its coefficient there."""

    def __init__(
        self,
        numbers: Sequence[Number],
        links: Sequence[Link],
        costs: Sequence[Floats],
        start: Sequence[int],
        work: StepBudget,
    ) -> None:
        work.spend(sum(len(costs[v]) for link in links for v, _ in link.terms) // 2)
        self.links, self.costs, self.start = links, costs, tuple(start)
        self.values = [[*map(int, number.values), None] for number in numbers]
        self.ways = [np.flatnonzero(np.isfinite(cost)).tolist() for cost in costs]
        self.at: list[list[tuple[int, int]]] = [[] for _ in numbers]
        for f, link in enumerate(links):
            for v, c in link.terms:
                self.at[v].append((f, c))
        self.broken = [-float(np.log(link.broken)) for link in links]
        self.several = [-float(np.log(link.lost[1])) for link in links]
        shares = [
            [costs[v][k] / len(self.at[v]) for v, _ in link.terms for k in self.ways[v] if k != start[v]]
            for link in links
        ]
        # To make a link void takes a number that becomes unknown, so that it costs a change or leaves it broken.
        change = [min(own, default=np.inf) for own in shares]
        self.give_up = [min(b, s + c) for b, s, c in zip(self.broken, self.several, change, strict=True)]
        self.cheapest = [min(b, s, c) for b, s, c in zip(self.broken, self.several, change, strict=True)]
        self.tables = [self._table(f, work) if link.equal else np.zeros(0) for f, link in enumerate(links)]
        self.offs = [self._off(link) for link in links]

    def _off(self, link: Link) -> tuple[int, int]:
        """By how much the link misses its bound, and how many of its numbers are unknown."""
        values = [(c, self.values[v][self.start[v]]) for v, c in link.terms]
        return sum(c * (x or 0) for c, x in values) - link.bound, sum(x is None for _, x in values)

    def _table(self, f: int, work: StepBudget) -> Floats:
        """(m,) the least that changes cost the link which together change its sum by r, modulo m, for each r.

        The cost of a change is shared out among the links of its number, so that what several links cost adds up. What
        fits modulo m need not fit, so that this is a bound from below; it is exact where sums span less than m.
        """
        changes: dict[int, list[tuple[int, float]]] = {}
        for v, c in self.links[f].terms:
            for k in self.ways[v]:
                now, value = self.values[v][self.start[v]], self.values[v][k]
                if k != self.start[v] and value is not None and now is not None:
                    changes.setdefault(v, []).append((c * (value - now), self.costs[v][k] / len(self.at[v])))
        span = sum(max(abs(by) for by, _ in own) for own in changes.values())
        m = min(2 * span + 1, _MODULUS)
        work.spend(sum(map(len, changes.values())) * (2 + m // 700))
        table = np.full(m, np.inf)
        table[0] = 0.0
        for own in changes.values():
            before = table.copy()
            for by, cost in own:
                if cost < self.broken[f]:
                    at = by % m
                    np.minimum(table[at:], before[: m - at] + cost, out=table[at:])
                    np.minimum(table[:at], before[m - at :] + cost, out=table[:at])
        return table

    def least(self, f: int, off: tuple[int, int]) -> float:
        """What a link that does not hold costs yet, at least."""
        if off[1] or not self.links[f].equal:
            return self.cheapest[f]
        return min(float(self.tables[f][-off[0] % len(self.tables[f])]), self.give_up[f])

    def moved(self, off: tuple[int, int], v: int, c: int, k: int) -> tuple[int, int]:
        """What `off` of a link becomes where a number goes from its start to another place."""
        now, value = self.values[v][self.start[v]], self.values[v][k]
        return off[0] + c * ((value or 0) - (now or 0)), off[1] + (value is None) - (now is None)

    def holds(self, f: int, off: tuple[int, int]) -> bool:
        if self.links[f].equal:
            return off == (0, 0)
        return off[1] > 0 or off[0] <= 0


@dataclass(frozen=True, slots=True)
class _Node:
    """A partial repair. changed: numbers that are decided, by their places. offs: of links, where otherwise than at the
    start. given_up: links that stay broken; void: those that several unknown numbers are to make void. spent: what all
    this costs. todo: what each open link costs yet, at least."""

    changed: dict[int, int]
    offs: dict[int, tuple[int, int]]
    given_up: frozenset[int]
    void: frozenset[int]
    spent: float
    todo: dict[int, float]

    @property
    def least(self) -> float:
        return self.spent + sum(self.todo.values())


_Heap = list[tuple[float, int, Callable[[], _Node]]]


def _repairs(puzzle: _Puzzle, node: _Node, reach: float, steps: _Steps) -> Iterator[tuple[float, _Node, _Heap]]:
    """Each partial repair that is taken up and what it comes to, at least, the least first, all up to `reach`; and
    those that wait. These are made only when they are taken up: most never are.

    The first that leaves nothing to do is the cheapest complete one.
    """
    first, count = node, 0
    heap: _Heap = [(node.least, 0, lambda: first)]  # what it comes to, then which came first
    while heap:
        least, _, make = heapq.heappop(heap)
        node = make()
        steps.work.spend(10 + (len(node.changed) + len(node.offs) + len(node.todo)) // 2)
        yield least, node, heap
        for reached, child in _children(puzzle, node, reach, steps) if node.todo else ():
            count += 1
            heapq.heappush(heap, (reached, count, child))


def _children(puzzle: _Puzzle, node: _Node, reach: float, steps: _Steps) -> Iterator[tuple[float, Callable[[], _Node]]]:
    """The link that costs most yet: given up, made void by unknown numbers, or with one of its numbers changed."""
    f = max(node.todo, key=lambda f: (node.todo[f], -f))
    off = node.offs.get(f, puzzle.offs[f])
    if f not in node.void:
        rest = {g: cost for g, cost in node.todo.items() if g != f}
        spent = node.spent + puzzle.broken[f]
        up = _Node(node.changed, node.offs, node.given_up | {f}, node.void, spent, rest)
        if up.least <= reach:
            yield up.least, lambda: up
        if puzzle.links[f].equal:
            todo = rest if off[1] > 1 else {**rest, f: 0.0}
            spent = node.spent + puzzle.several[f]
            void = _Node(node.changed, node.offs, node.given_up, node.void | {f}, spent, todo)
            if void.least <= reach:
                yield void.least, lambda: void
    for place, (v, _) in enumerate(puzzle.links[f].terms):
        if v in node.changed:
            continue
        for k in puzzle.ways[v]:
            if k != puzzle.start[v] and (f not in node.void or puzzle.values[v][k] is None):
                steps.left -= 1
                steps.work.spend(5 + 2 * len(puzzle.at[v]) + len(node.todo) // 20)
                spent = node.spent + puzzle.costs[v][k]
                least = spent + sum(_moved(puzzle, node, v, k)[0].values()) if spent <= reach else spent
                if least <= reach:
                    yield least, partial(_changed, puzzle, node, (f, place), v, k)


def _moved(puzzle: _Puzzle, node: _Node, v: int, k: int) -> tuple[dict[int, float], dict[int, tuple[int, int]]]:
    """What is to do yet where a number is changed, and what its links miss then."""
    todo, moved = dict(node.todo), {}
    for g, c in puzzle.at[v]:
        off = moved[g] = puzzle.moved(node.offs.get(g, puzzle.offs[g]), v, c, k)
        todo.pop(g, None)
        if g in node.void:
            if off[1] < 2:
                todo[g] = 0.0
        elif g not in node.given_up and not puzzle.holds(g, off):
            todo[g] = puzzle.least(g, off)
    return todo, moved


def _changed(puzzle: _Puzzle, node: _Node, before: tuple[int, int], v: int, k: int) -> _Node:
    """The node with a number changed; before: a link and a place in it, up to which its other numbers stay."""
    todo, moved = _moved(puzzle, node, v, k)
    f, place = before
    stay = {u: puzzle.start[u] for u, _ in puzzle.links[f].terms[:place] if u not in node.changed}
    spent = node.spent + puzzle.costs[v][k]
    return _Node({**node.changed, **stay, v: k}, node.offs | moved, node.given_up, node.void, spent, todo)
