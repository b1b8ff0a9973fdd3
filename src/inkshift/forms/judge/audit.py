"""Labels against the ink: which entries of a database are probably wrong.

A label that the reading does not bear out may be the reader's error or the database's. Bayes' rule weighs the two: how
probable the reader finds the label, against how probable a slip of the hand is that makes this label out of what was
read. Nothing is decided here; a person looks at the entries from the top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Floats
from inkshift.files import as_csv, whole_file
from inkshift.forms.judge.evaluate import Case, Row
from inkshift.forms.judge.guarantee import log_odds, scipy
from inkshift.forms.kinds import plain
from inkshift.forms.reading import value_of

# How often a wrong entry is: a digit changed, two neighbours swapped, a digit left out, one too many, or anything.
CHANGED, SWAPPED, LEFT_OUT, TOO_MANY, UNRELATED = 0.5, 0.1, 0.15, 0.1, 0.15
# Before any label is seen: one in a hundred is wrong, as if that had been found among so many labels.
PRIOR, PRIOR_WEIGHT = 0.01, 150.0
_UNLISTED = 0.05


class Suspect(NamedTuple):
    """An entry beside its reading. label, read: cell by cell where both are known so. wrong: probability, 0 to 1, that
    the label is. odds: its log-odds, by which entries are ranked."""

    form: str
    field: str
    label: str
    read: str
    confidence: float
    wrong: float
    odds: float

    @property
    def disagrees(self) -> bool:
        return self.label != self.read


class ReliabilityCurve(NamedTuple):
    """P(label agrees | confidence) = (1 - wrong) * logistic(shift + steepness * log-odds of the confidence)."""

    wrong: float
    shift: float
    steepness: float

    def right(self, confidence: npt.ArrayLike) -> Floats:
        """How probable the readings themselves are right."""
        return np.asarray(_logistic(self.shift + self.steepness * log_odds(confidence)))


def audit(cases: Sequence[Case], rows: Sequence[Row], zeros: bool = False) -> list[Suspect]:
    """Every labelled field that was read, the label most probably wrong first.

    cases: of `evaluate.match`. rows: the readings they come from, with their candidates. What is wrong so often, and
    what a confidence is worth, is estimated from these labels themselves, most of which are right. zeros: a label that
    lacks a zero before its number is wrong, as it is for who learns to read from it.
    Raises MissingExtraError without scipy.
    """
    candidates = {(row["form"], row["field"]): _listed(row) for row in rows}
    read = [
        _LabelledReading.of(case, candidates[case.form, case.field], zeros)
        for case in cases
        if case.outcome != "missing"
    ]
    curve = fit([r.confidence for r in read], [r.label == r.text for r in read])
    return sorted((r.judged(curve) for r in read), key=lambda s: (-s.odds, s.form, s.field))


def write_suspects(suspects: Sequence[Suspect], path: Path) -> None:
    """The entries that disagree with the ink as CSV, in their order. Raises SettingError where it cannot be written."""
    rows: list[tuple[object, ...]] = [("rank", "form", "field", "label", "read", "confidence", "label_wrong")]
    for rank, s in enumerate((s for s in suspects if s.disagrees), 1):
        rows.append((rank, s.form, s.field, s.label, s.read, f"{s.confidence:.4f}", f"{s.wrong:.4f}"))
    with whole_file(path) as temporary:
        temporary.write_bytes(as_csv(rows))


def fit(confidence: Sequence[float], agrees: Sequence[bool]) -> ReliabilityCurve:
    """The curve most probable under the labels: what surest readings fall short of agreeing with, labels have wrong."""
    minimize = scipy("optimize", "the audit of labels").minimize
    x, y = log_odds(confidence), np.asarray(agrees, bool)

    def cost(p: Floats) -> float:
        wrong = float(_logistic(p[0]))
        share = (1 - wrong) * _logistic(p[1] + np.exp(p[2]) * x)
        loss = -np.log(np.where(y, share, 1 - share)).sum()
        prior = PRIOR * np.log(wrong) + (1 - PRIOR) * np.log1p(-wrong)
        return float(loss - PRIOR_WEIGHT * prior + p[1] ** 2 / 8 + p[2] ** 2 / 2)

    bounds = [(-9.0, 0.0), (-6.0, 6.0), (-2.5, 1.5)]
    best = minimize(cost, [np.log(PRIOR), 0.0, 0.0], method="L-BFGS-B", bounds=bounds).x
    return ReliabilityCurve(float(_logistic(best[0])), float(best[1]), float(np.exp(best[2])))


def slip(written: str, meant: str) -> float:
    """Probability that a wrong entry for `meant` is `written`: near misses are likelier than unrelated values."""
    n = len(meant)
    p = UNRELATED / (8 * 10.0 ** len(written))
    if len(written) == n:
        off = [i for i in range(n) if written[i] != meant[i]]
        if len(off) == 1:
            p += CHANGED / (9 * n)
        pair = slice(off[0], off[-1] + 1) if off else slice(0)
        if len(off) == 2 and off[1] == off[0] + 1 and written[pair] == meant[pair][::-1]:
            p += SWAPPED / (n - 1)
    elif n and written in {meant[:i] + meant[i + 1 :] for i in range(n)}:
        p += LEFT_OUT / n
    elif meant in {written[:i] + written[i + 1 :] for i in range(len(written))}:
        p += TOO_MANY / (10 * (n + 1))
    return p


class _LabelledReading(NamedTuple):
    """A labelled reading: what it says, how surely, and what else it may say, as texts comparable with the label."""

    case: Case
    label: str
    text: str
    confidence: float
    others: Mapping[str, float]

    @classmethod
    def of(cls, case: Case, candidates: Mapping[str, float], zeros: bool) -> _LabelledReading:
        cells = bool(case.label_written) and len(case.label_written) == len(case.read_written)
        label = case.label_written if cells else case.label

        def as_label(written: str) -> str:
            """What is read, the label where it is the same number, and with no more zeros before it than that has."""
            text = written if cells else value_of(written)
            if cells or zeros or not label:
                return text
            spare = min(max(len(text) - len(label), 0), len(text) - len(text.lstrip("0")))
            return label if plain(text) == plain(label) else text[spare:]

        shown = {as_label(text): 0.0 for text in (case.read_written, *candidates)}
        for text, p in candidates.items():
            shown[as_label(text)] += p
        text = next(iter(shown))
        return cls(case, label, text, case.confidence or 0.0, {t: p for t, p in shown.items() if t != text})

    def judged(self, curve: ReliabilityCurve) -> Suspect:
        """What is true is one of the candidates, or something like the best of them that is not listed."""
        sure = float(curve.right(self.confidence))
        rest = max(1 - self.confidence - sum(self.others.values()), _UNLISTED * (1 - self.confidence), 1e-4)
        scale = (1 - sure) / (sum(self.others.values()) + rest)
        truth = {self.text: sure} | {text: p * scale for text, p in self.others.items()}
        as_is = truth.get(self.label, 0.0) + rest * scale * slip(self.label, self.text)
        slipped = sum(p * slip(self.label, text) for text, p in truth.items() if text != self.label)
        odds = float(np.log(curve.wrong * slipped + 1e-300) - np.log((1 - curve.wrong) * as_is))
        case = self.case
        return Suspect(case.form, case.field, self.label, self.text, self.confidence, float(_logistic(odds)), odds)


def _listed(row: Row) -> dict[str, float]:
    pairs = (pair.rpartition(":") for pair in row["candidates"].split())
    return {text: float(p) for text, _, p in pairs}


def _logistic(odds: npt.ArrayLike) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -700, 700))))
