"""Which way up a page stands that is printed alike both ways: what is written on it tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from inkshift.errors import RegistrationError
from inkshift.forms.kinds import WITH_DIGITS
from inkshift.forms.page.laid import LaidPage
from inkshift.forms.reading import FieldReading
from inkshift.forms.registration.registered import on_each_other, turned_in_place

# Reads the fields of a page that lies on its template, as quickly as that tells anything.
Glance = Callable[[LaidPage], list[FieldReading]]

# Log odds by which numbers must be surer one way up than the other.
_LEAST_ODDS = 5.0
# A page of which no more than this share of what is written is read less surely than that lies in no mirror.
_DOUBTFUL, _SURELY = 0.2, 0.9
# Fields that are read both ways up before all are, and more where these do not tell, on a page that has at least twice
# as many: they must be so many times surer than all.
_SAMPLES, _SURER = (4, 8, 32), 2.0


def plainly_up(laid: list[LaidPage], glance: Glance) -> list[LaidPage]:
    """The ways up that are left once some of the fields of a page with many were read; all where none tells."""
    count = min(len(one.spec.fields) if one.spec else 0 for one in laid)
    some_of = [count // sample for sample in _SAMPLES if count >= 2 * sample] if len(laid) > 1 else []
    for step in some_of:
        specs = [one.spec.model_copy(update={"fields": one.spec.fields[::step]}) for one in laid if one.spec]
        some = [glance(replace(one, spec=spec)) for one, spec in zip(laid, specs, strict=True)]
        with suppress(RegistrationError):
            if any(_tells(reading) for way in some for reading in way):
                return [laid[stands(laid, some, glance, _SURER * _LEAST_ODDS)]]
    return laid


def stands(
    laid: list[LaidPage], ways: Sequence[Sequence[FieldReading]], glance: Glance, least: float = _LEAST_ODDS
) -> int:
    """Which of two ways up a page stands, by what was read. Raises RegistrationError where that does not tell."""
    if len(laid) == 1 or on_each_other(laid[0].page, laid[1].page):
        return way_up(ways, least=least)
    # In other places there may be print, which looks like numbers the wrong way up too: it is also read turned.
    names = [{reading.name for reading in way} for way in ways]
    specs = [
        one.spec.model_copy(update={"fields": tuple(f for f in one.spec.fields if f.name in own)})
        for one, own in zip(laid, names, strict=True)
        if one.spec
    ]
    over = [
        glance(replace(one, page=turned_in_place(one.page), spec=spec)) for one, spec in zip(laid, specs, strict=True)
    ]
    return way_up(ways, over, least)


def way_up(
    ways: Sequence[Sequence[FieldReading]], over: Sequence[Sequence[FieldReading]] = (), least: float = _LEAST_ODDS
) -> int:
    """Which of the readings of a page, upright and upside down, is of it as it stands, by the numbers written in it.

    Blanks say nothing. over: where the fields lie in other places the other way up, what each of them holds read upside
    down. least: log odds by which one must be surer. Raises RegistrationError where the numbers do not tell.
    """
    if len(ways) == 1:
        return 0
    written = [[r.confidence for r in way if _tells(r)] for way in ways]
    if not any(written) and not any(r.value == "1" for way in ways for r in way):
        return 0
    sure = [_odds(way) for way in ways]
    if over:
        sure = [own - _odds(turned) for own, turned in zip(sure, over, strict=True)]
    best, other = sorted(range(2), key=lambda k: -sure[k])
    # Fields that lie on each other both ways show the same ink twice; others show no number at all the wrong way up.
    same_ink = 2 * len(written[other]) >= len(written[best])
    tells = sure[best] > least if over else same_ink or sure[other] <= 0 < sure[best] - 2 * least
    if not tells or sure[best] - sure[other] < least:
        raise RegistrationError(
            "the way up is open: the form is printed alike both ways, and what is written does not tell; "
            'give the template a picture of the empty form ("reference") that shows its heading'
        )
    return best


def may_be_mirrored(readings: Sequence[FieldReading]) -> bool:
    """Whether a page is worth a look in a mirror: not where most of what is written on it is read surely."""
    own = [one for one in readings if one.kind in WITH_DIGITS]
    marked = [one for one in own if one.state != "blank"]
    doubtful = sum(one.confidence < _SURELY for one in marked)
    return bool(own) and (not marked or doubtful > _DOUBTFUL * len(marked))


def is_mirrored(readings: Sequence[FieldReading], over: Sequence[FieldReading]) -> bool:
    """Whether the numbers on a page are surer in a mirror, `over`, than as they stand, and sure there: a model that can
    read neither is in two minds of both."""
    return _odds(over) > max(_odds(readings), 0.0) + _LEAST_ODDS


def _odds(way: Sequence[FieldReading]) -> float:
    """The log odds that the numbers among readings are right, added up."""
    sure = np.clip([r.confidence for r in way if _tells(r)], 0.01, 0.99)
    return float(np.log(sure / (1 - sure)).sum())


def _tells(reading: FieldReading) -> bool:
    """Whether a reading says how its page stands: a tick looks the same upside down."""
    return reading.state == "written" and reading.kind in WITH_DIGITS
