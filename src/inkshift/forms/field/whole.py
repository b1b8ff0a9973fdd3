"""A row of cells heard as one number: where its cells leave a doubt, the recogniser of whole numbers is asked too.

A model of single digits sees each cell alone; the recogniser sees the row, walls and all. Each gives a probability to
what may be written, and the two are multiplied (a product of experts, Hinton 1999). Only the model of digits knows
crossed-out and empty cells, so what is chosen is one of its candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from inkshift.forms.reading import Candidate, FieldReading, state_of, value_of

# Cells that are read surer are left alone, so that what is clear costs no more.
SURE = 0.95


def is_doubted(reading: FieldReading) -> bool:
    """Whether a row of cells, as it was read cell by cell, is to be heard as a whole as well."""
    return reading.confidence < SURE and reading.state != "overflow" and len(reading.candidates) > 1


def multiplied(
    cells: FieldReading, whole: Mapping[str, float], calibration: Mapping[str, float] | None = None
) -> FieldReading:
    """A reading of cells, its candidates weighed against those of the row as a whole.

    whole: texts with probabilities, "" for no digit. calibration: `number floor` keeps the row from a veto; `both`,
    since two readers of one number err on the same ones now and then (see `models.weigh`).
    """
    given = (calibration or {}).get
    own = np.array([one.probability for one in cells.candidates])
    other = np.array([whole.get(value_of(one.written), 0.0) for one in cells.candidates])
    odds = given("both", 1.0) * (np.log(own + 1e-12) + np.log(other + given("number floor", 1e-3)))
    share = np.exp(odds - np.logaddexp.reduce(odds))
    order = np.argsort(-share, kind="stable")
    candidates = tuple(Candidate(cells.candidates[i].written, float(share[i])) for i in order)
    best = candidates[0].written
    state = state_of(best)
    # A cell is as sure as all candidates together that say the same of it.
    parts = tuple(
        replace(part, symbol=symbol, probability=sum(c.probability for c in candidates if c.written[k] == symbol))
        for k, (part, symbol) in enumerate(zip(cells.cells, best, strict=True))
    )
    return replace(
        cells,
        value=value_of(best) if state == "written" else "",
        written=best,
        state=state,
        confidence=candidates[0].probability,
        candidates=candidates,
        cells=parts,
    )
