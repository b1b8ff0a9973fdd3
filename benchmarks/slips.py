"""Entries of a database mistyped as people mistype them: what the audit of labels is tested on."""

from __future__ import annotations

import numpy as np

from inkshift.forms.judge.audit import CHANGED, SWAPPED, TOO_MANY, UNRELATED


def corrupted(value: str, rng: np.random.Generator) -> str:
    """Another value, as a person may mistype `value`, in the shares that `slip` counts with: to test an audit."""
    out, n = value, len(value)
    while out == value:
        kind, at = rng.random(), int(rng.integers(n + 1))
        if kind < CHANGED and at < n:
            out = value[:at] + str(rng.integers(10)) + value[at + 1 :]
        elif CHANGED <= kind < CHANGED + SWAPPED and at + 1 < n:
            out = value[:at] + value[at + 1] + value[at] + value[at + 2 :]
        elif CHANGED + SWAPPED <= kind < 1 - UNRELATED - TOO_MANY and at < n:
            out = value[:at] + value[at + 1 :]
        elif 1 - UNRELATED - TOO_MANY <= kind < 1 - UNRELATED:
            out = value[:at] + str(rng.integers(10)) + value[at:]
        elif kind >= 1 - UNRELATED:
            out = "".join(map(str, rng.integers(0, 10, rng.integers(1, 9))))
    return out
