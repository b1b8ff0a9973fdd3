"""Tables with sums across and down, as a reader may see them: rings of rules."""

from __future__ import annotations

import numpy as np

from inkshift.forms.joint.tree import Link, Number
from inkshift.forms.reading import Candidate, FieldReading, FormReading
from inkshift.forms.rules import Rule, parse_rule
from inkshift.forms.template import FieldSpec


def table(rows: int, columns: int, seed: int) -> tuple[list[Number], list[Link]]:
    """A table with its sums. A number is read with up to nine candidates, its true value first among the values; one in
    seven is unclear, and a third of these read wrongly."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 200, (rows, columns))
    whole = np.block([[cells, cells.sum(1)[:, None]], [cells.sum(0), cells.sum()]])
    numbers = []
    for value in whole.ravel().tolist():
        digits = list(str(value))
        changed = {int("".join([*digits[:i], d, *digits[i + 1 :]])) for i in range(len(digits)) for d in "0123456789"}
        others = rng.permutation(sorted(changed - {value}))[:8]
        unclear = rng.random() < 0.15
        share = rng.dirichlet(np.full(len(others), 0.3)) * (
            rng.uniform(0.1, 0.7) if unclear else rng.random() ** 3 * 0.02
        )
        weights = np.array([1 - share.sum(), *(0.95 * share), 0.05 * share.sum()]) + 1e-9
        if unclear and rng.random() < 0.35:
            k = int(share.argmax()) + 1
            weights[[0, k]] = weights[[k, 0]]
        numbers.append(Number(np.array([value, *others.tolist()]), weights))
    at = np.arange(whole.size).reshape(whole.shape).tolist()
    sums = [*at, *(list(column) for column in zip(*at, strict=True))]
    links = [Link((*((v, 1) for v in one[:-1]), (one[-1], -1)), True, 0, 2e-6, (2e-6, 1e-4)) for one in sums]
    return numbers, links


def form(rows: int, columns: int, seed: int) -> tuple[FormReading, list[Rule], list[FieldSpec], list[str]]:
    """The same table as a form read field by field, its rules, and what was truly written."""
    numbers, links = table(rows, columns, seed)
    names = [f"f{v}" for v in range(len(numbers))]
    fields = []
    for name, number in zip(names, numbers, strict=True):
        read = zip(map(str, number.values.tolist()), number.weights[:-1].tolist(), strict=True)
        given = tuple(Candidate(text, p) for text, p in sorted(read, key=lambda one: -one[1]))
        first = given[0]
        fields.append(FieldReading(name, first.written, first.written, "written", first.probability, given))
    texts = [" + ".join(names[v] for v, c in link.terms if c > 0) + f" = {names[link.terms[-1][0]]}" for link in links]
    specs = [FieldSpec(name=name, box=(0, 0, 60, 20), digits=(1, 6)) for name in names]
    truth = [str(number.values[0]) for number in numbers]
    return FormReading("crossed", tuple(fields)), [parse_rule(text, names) for text in texts], specs, truth
