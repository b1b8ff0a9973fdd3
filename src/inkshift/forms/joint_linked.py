"""The likeliest assignments of many numbers whose rules close rings, found one after the other with OR-Tools CP-SAT."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from inkshift.errors import MissingExtraError
from inkshift.forms.joint_tree import Floats, Link, Number

BEST = 30
"""How many assignments posteriors are taken from."""
# Nats to whole numbers, and seconds for one assignment.
_SCALE, _SECONDS = 10_000, 10.0


def installed() -> bool:
    """Whether the extra `rules` is there."""
    return find_spec("ortools") is not None


def best_assignments(
    numbers: Sequence[Number], links: Sequence[Link], most: int = BEST
) -> list[tuple[list[int], float]]:
    """Up to `most` assignments, the likeliest first: for each number the place of its value, and their weight.

    The place after the last value stands for an unknown one. Raises MissingExtraError where OR-Tools is not installed.
    """
    if not installed():
        raise MissingExtraError("rules", "solving rules that are linked in many rings")
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    chosen = [[model.new_bool_var("") for _ in number.weights] for number in numbers]
    gains = []
    for number, options in zip(numbers, chosen, strict=True):
        model.add_exactly_one(options)
        for option, weight in zip(options, number.weights.tolist(), strict=True):
            if weight > 0:
                gains.append(round(_SCALE * np.log(weight)) * option)
            else:
                model.add(option == 0)
    for link in links:
        gains += _terms(model, link, numbers, chosen)
    model.maximize(sum(gains))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = _SECONDS
    found: list[tuple[list[int], float]] = []
    while len(found) < most and solver.solve(model) in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        places = [next(k for k, option in enumerate(options) if solver.value(option)) for options in chosen]
        found.append((places, weight_of(numbers, links, places)))
        model.add_bool_or([options[k].negated() for options, k in zip(chosen, places, strict=True)])
    return sorted(found, key=lambda one: -one[1])


def _terms(model: Any, link: Link, numbers: Sequence[Number], chosen: Sequence[Sequence[Any]]) -> list[Any]:
    """What a link adds to the logarithm of an assignment's weight, over that of a broken one."""
    m, options = model, [(numbers[v], chosen[v], c) for v, c in link.terms]
    unknown = sum(mine[-1] for _, mine, _ in options)
    total = sum(
        c * x * one for number, mine, c in options for x, one in zip(number.values.tolist(), mine, strict=False)
    )
    kept, lost, several = (m.new_bool_var("") for _ in range(3))
    m.add_at_most_one([kept, lost, several])
    m.add(unknown == 0).only_enforce_if(kept)
    m.add(total == link.bound if link.equal else total <= link.bound).only_enforce_if(kept)
    m.add(unknown == 1).only_enforce_if(lost)
    m.add(unknown >= 2).only_enforce_if(several)
    weights = zip((kept, lost, several), (1.0, *link.lost), strict=True)
    return [round(_SCALE * np.log(w / link.broken)) * literal for literal, w in weights]


def weight_of(numbers: Sequence[Number], links: Sequence[Link], places: Sequence[int]) -> float:
    """The weight of one assignment."""
    values = [int(n.values[k]) if k < len(n.values) else None for n, k in zip(numbers, places, strict=True)]
    own = np.prod([n.weights[k] for n, k in zip(numbers, places, strict=True)])
    return float(own * np.prod([link.weight(values) for link in links]))


def shares(numbers: Sequence[Number], found: Sequence[tuple[list[int], float]]) -> list[Floats]:
    """For each number the share of the assignments' weight in which it has each of its values."""
    out = [np.zeros(len(number.weights)) for number in numbers]
    for places, weight in found:
        for column, k in zip(out, places, strict=True):
            column[k] += weight
    return out
