"""A form's fields read together: its rules decide between candidates, but never over what is clearly written.

The model: a writer keeps each rule with probability 1 - slip; else what should be the sum is, as often as not, wrong in
one of its D digits, so that a broken sum costs slip / 18 D, and where a number is unknown slip / V, V the numbers that
the rule's longest field can hold; a broken `<=` costs slip. Each field has its candidates, a little left for numbers
that are not among them, and a prior over numbers if one is given. A field that is overwritten or overflows may hold any
number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from inkshift.arrays import Floats
from inkshift.forms.joint import linked, tree
from inkshift.forms.joint.domain import Domain, Prior, domain_of, most_numbers, with_proposals
from inkshift.forms.joint.tree import Link, Number, StepBudget, UnfinishedError
from inkshift.forms.kinds import number_of
from inkshift.forms.reading import Candidate, CellReading, FieldReading, FormReading, state_of, value_of
from inkshift.forms.rules import COUNTED, Rule, unsettled
from inkshift.forms.template import FieldSpec

# Every second wrong sum is wrong in one digit: a slip is one of so many numbers for each digit.
_SLIPS = 18
# From this probability on that it lies right, a page is as sure as registration gets, and always did; below, a sum that
# holds says no more of that: those of the next form or row hold as well.
_LIES_RIGHT = 0.98
# A number proposed for a field that cannot be read is shown from this probability on.
_SHOWN = 0.01


Offered = Callable[[Sequence[int], Sequence[Link]], list[Number]]


@dataclass(frozen=True, slots=True)
class Solution:
    """For each number the probability of each of its values, the last of an unknown one, and the place of its value in
    the likeliest assignment. unsettled: numbers for which too many assignments had to be compared; they are as if there
    were no links."""

    posteriors: list[Floats]
    best: list[int]
    unsettled: tuple[int, ...]


def decode_form(
    form: FormReading, rules: Sequence[Rule], specs: Sequence[FieldSpec], priors: Mapping[str, Prior] | None = None
) -> FormReading:
    """The form with each field as it is in the likeliest reading of all, its confidence the posterior probability.

    Fields without a rule, and rules with a field that is not there, with slip 1, are left alone. Where the likeliest
    reading breaks a rule, its fields are at most as sure as they were. A field that is overwritten or overflows keeps
    its state; what the rules say it should hold is among its candidates. Where rules are linked in so many rings that
    it cannot be settled which reading is the likeliest, fields stay as they are and say so in `rules_broken`.
    """
    there = {field.name: field for field in form.fields}
    used = [rule for rule in rules if rule.slip < 1 and set(rule.fields) <= set(there)]
    names = list(dict.fromkeys(name for rule in used for name in rule.fields))
    if not names:
        return form
    by_name, prior = {spec.name: spec for spec in specs}, dict(priors or {})
    domains = {name: domain_of(there[name], by_name[name], prior.get(name)) for name in names}
    work = StepBudget()

    def offered(members: Sequence[int], links: Sequence[Link]) -> list[Number]:
        own = _proposed({names[v]: domains[names[v]] for v in members}, links, prior, work)
        domains.update(own)
        return [domain.number for domain in own.values()]

    links = _links(used, domains, names)
    solved = solve([domains[name].number for name in names], links, work, offered)
    open_ = {names[v] for v in solved.unsettled}
    doubted = _doubted(used, domains, dict(zip(names, solved.best, strict=True)))
    read = {
        name: _read(there[name], domains[name], posterior, best, name in doubted)
        for name, posterior, best in zip(names, solved.posteriors, solved.best, strict=True)
        if name not in open_
    }
    said = _said(used, open_)
    read |= {name: replace(there[name], rules_broken=tuple(said[name])) for name in open_}
    return replace(form, fields=tuple(read.get(field.name, field) for field in form.fields))


def solve(
    numbers: Sequence[Number], links: Sequence[Link], work: StepBudget | None = None, offered: Offered | None = None
) -> Solution:
    """Posteriors and the likeliest assignment of all numbers together.

    Exact but where rules are linked in so many rings, or so many unclear numbers added up, that it takes too much work:
    there `linked` searches, with as much work on any machine. What hangs together in the fewest terms comes first, so
    that it is settled whatever the others take of `work`. offered: numbers that hang together as their links make them.
    """
    work = work or StepBudget()
    posteriors = [_shares(number.weights) for number in numbers]
    best = [int(number.weights.argmax()) for number in numbers]
    left: list[int] = []
    for members, own in _parts(len(numbers), links):
        try:
            part = offered(members, own) if offered else [numbers[v] for v in members]
            shares, places = _settled(part, own, work)
        except UnfinishedError:
            left += members
            continue
        for v, share, place in zip(members, shares, places, strict=True):
            posteriors[v], best[v] = share, place
    return Solution(posteriors, best, tuple(left))


def _parts(count: int, links: Sequence[Link]) -> Iterator[tuple[list[int], list[Link]]]:
    """The numbers that hang together, and their links by the places of these among them; the fewest terms first."""
    parts = tree.components(count, links)
    for members, own in sorted(parts, key=lambda part: sum(len(link.terms) for link in part[1])):
        at = {v: place for place, v in enumerate(members)}
        yield members, [replace(link, terms=tuple((at[v], c) for v, c in link.terms)) for link in own]


def _settled(numbers: Sequence[Number], links: Sequence[Link], work: StepBudget) -> tuple[list[Floats], list[int]]:
    """Posteriors and the likeliest assignment of numbers that hang together: exact where half of the work suffices.

    Raises UnfinishedError.
    """
    share = work.left // 2
    exact = StepBudget(share)
    try:
        found = tree.infer(numbers, links, tree.ALL, exact)
        places = _likeliest(numbers, links, exact) if found else []
    except UnfinishedError:
        found = None
    work.spend(share - max(exact.left, 0))
    if found is None:
        return linked.search(numbers, links, work=work)
    return [_shares(weights) for weights in found], places


def _likeliest(numbers: Sequence[Number], links: Sequence[Link], work: StepBudget) -> list[int]:
    """The places of the values of the likeliest assignment; where several are as likely, of one of them."""
    numbers = list(numbers)
    while True:
        found = tree.infer(numbers, links, tree.LIKELIEST, work) or []
        open_ = [v for v, number in enumerate(numbers) if np.count_nonzero(number.weights) > 1]
        tied = [v for v in open_ if np.count_nonzero(found[v] >= found[v].max() * (1 - 1e-9)) > 1]
        if not tied:
            return [int(weights.argmax()) for weights in found]
        v = tied[0]
        weights = numbers[v].weights * (np.arange(len(numbers[v].weights)) == found[v].argmax())
        numbers[v] = Number(numbers[v].values, weights)


def _shares(weights: Floats) -> Floats:
    total = weights.sum()
    return weights / total if total > 0 else np.full(len(weights), 1 / len(weights))


def _links(rules: Sequence[Rule], domains: Mapping[str, Domain], names: Sequence[str]) -> list[Link]:
    """Each two neighbouring sides of each rule as a link."""
    place = {name: v for v, name in enumerate(names)}
    most = {name: most_numbers(domain) for name, domain in domains.items()}
    links = []
    for rule in rules:
        many = max(most[name] for name in rule.fields)
        for left, right in pairwise(rule.sides):
            terms = Counter(place[name] for name in left.fields)
            terms.subtract(place[name] for name in right.fields)
            some = tuple((v, c) for v, c in terms.items() if c)
            if not some:
                continue
            kept = 1 - rule.slip + rule.slip / many
            slipped = min(many, _SLIPS * len(str(many - 1)))
            broken = rule.slip / slipped / kept if rule.operator == "=" else rule.slip
            lost = (rule.slip / many / kept, 1 / many / kept) if rule.operator == "=" else (1.0, 1.0)
            links.append(Link(some, rule.operator == "=", right.number - left.number, broken, lost))
    return links


def _proposed(
    domains: Mapping[str, Domain], links: Sequence[Link], prior: Mapping[str, Prior], work: StepBudget
) -> dict[str, Domain]:
    """The domains with the numbers that would make an equality hold, given the others' candidates.

    Raises UnfinishedError: fields are not settled without the numbers that their rules ask for, as what is left might
    look surer than it is.
    """
    out, names = dict(domains), list(domains)
    numbers = [domain.number for domain in domains.values()]
    for link in links:
        for v, wanted in tree.partners(numbers, link, work).items() if link.equal else ():
            if domains[names[v]].patterns:
                work.spend(5 * len(wanted) * len(domains[names[v]].patterns))
                out[names[v]] = with_proposals(out[names[v]], wanted, prior.get(names[v]))
    return out


def _said(rules: Sequence[Rule], names: Collection[str]) -> dict[str, list[str]]:
    """What each of these fields says of its rules, where it is not settled."""
    said: dict[str, list[str]] = {name: [] for name in names}
    for rule in rules:
        message = unsettled(rule)
        for name in rule.fields:
            if name in said:
                said[name].append(message)
    return said


def _doubted(rules: Sequence[Rule], domains: Mapping[str, Domain], best: Mapping[str, int]) -> set[str]:
    """Fields in rules that the likeliest assignment breaks, or that it leaves open."""
    values = {name: number_of(d.written[best[name]]) for name, d in domains.items() if best[name] < len(d.written)}
    return {
        name for rule in rules if not set(rule.fields) <= set(values) or rule.broken_at(values) for name in rule.fields
    }


def _read(field: FieldReading, domain: Domain, posterior: Floats, best: int, doubted: bool) -> FieldReading:
    """The field with the likeliest of its values, and the others after it, by their probability."""
    known = dict(zip(domain.written, posterior[:-1].tolist(), strict=True))
    if field.state not in COUNTED or not known:
        free = 1 - field.confidence
        extra = {text: min(p * free, field.confidence) for text, p in known.items()}
        shown = [c for c in field.candidates if c.written not in extra or c.written == field.written]
        ranked = sorted(extra.items(), key=lambda one: -one[1])
        added = [Candidate(text, p) for text, p in ranked if p >= _SHOWN * free]
        return replace(field, candidates=(*shown[:1], *added, *shown[1:])[:20])
    written = domain.written[best] if best < len(domain.written) else max(known, key=lambda text: known[text])
    confidence = known.pop(written)
    if doubted:
        confidence = min(confidence, domain.given.get(written, 0.0))
    if field.whose < _LIES_RIGHT:
        confidence = min(confidence, field.whose)
    others = known | _unlisted(domain, float(posterior[-1]))
    ranked = sorted(others.items(), key=lambda one: -one[1])
    candidates = (Candidate(written, confidence), *(Candidate(text, p) for text, p in ranked))[:20]
    state = state_of(written)
    return replace(
        field,
        value=value_of(written) if state == "written" else "",
        written=written,
        state=state,
        confidence=confidence,
        candidates=candidates,
        cells=_cells(field, written),
    )


def _unlisted(domain: Domain, share: float) -> dict[str, float]:
    """Candidates that contradict what is clear, with their part of the probability of what is not listed."""
    left = {text: p for text, p in domain.given.items() if text not in domain.written}
    whole = sum(left.values()) + domain.rest
    return {text: share * p / whole for text, p in left.items()} if whole > 0 else {}


def _cells(field: FieldReading, written: str) -> tuple[CellReading, ...]:
    """The field's cells as they are read now; a place that was read anew is as probable as its old reading was not."""
    if written == field.written:
        return field.cells
    if len(field.cells) != len(written):
        return ()
    return tuple(
        cell if cell.symbol == symbol else replace(cell, symbol=symbol, probability=1 - cell.probability)
        for cell, symbol in zip(field.cells, written, strict=True)
    )
