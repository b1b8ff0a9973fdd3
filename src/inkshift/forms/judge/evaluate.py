"""Readings against labels: the measures of Pacchiotti et al. (2023), sections 4.1 to 4.3, and calibration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from inkshift.errors import DataError
from inkshift.forms.kinds import digits_of, plain
from inkshift.forms.reading import DIGITS, POINT, SYMBOLS, UNREADABLE, State, state_of
from inkshift.models.metrics import calibration_error, macro

if TYPE_CHECKING:
    from inkshift.datasets.labels import Label

Outcome = Literal["right", "extraction", "classification", "missing"]
Row = Mapping[str, str]


class PublishedScores(NamedTuple):
    """What the paper reports: shares from 0 to 1, confusions as (label, read)."""

    numbers: int = 10_000
    accuracy: float = 0.6918
    digits: int = 13_970
    digit_accuracy: float = 0.8425
    precision: float = 0.848
    recall: float = 0.868
    f1: float = 0.850
    confusions: tuple[tuple[int, int], ...] = ((1, 4), (1, 7), (7, 2))


PAPER = PublishedScores()


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled field beside its reading.

    label, read: the values, empty where there is none. label_written, read_written: cell by cell, empty where
    not known. state: of the reading, empty where there is none. confidence, accepted: None where not given.
    """

    form: str
    field: str
    label: str
    label_written: str
    read: str
    read_written: str
    state: str
    outcome: Outcome
    confidence: float | None = None
    accepted: bool | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a set of readings agrees with its labels. Shares are from 0 to 1; None: nothing to count.

    n, right, accuracy, interval: whole numbers, with the 95 % Wilson interval. A label without a reading
    counts as wrong. extraction, classification, missing: wrong numbers by cause (section 4.3), where the
    digit count differs, where it agrees, and where nothing was read.
    confusion: digits by label (row) and reading (column), over numbers whose digit count agrees.
    digit_accuracy: right digits of those; digit_accuracy_all: of all labelled digits.
    precision, recall, f1: macro averages over the digits among the labels. confusions: (label, read, count).
    values, digits: how often each whole number and each digit was labelled (figures 10 and 11).
    by_state, by_symbol: labelled and right, over labels given cell by cell.
    calibration_error: expected, in ten bins. accepted_share, accepted_error: under an acceptance policy.
    unlabelled: (form, field) of readings that have no label and are not counted.
    """

    n: int
    right: int
    accuracy: float
    interval: tuple[float, float]
    extraction: int
    classification: int
    missing: int
    digit_accuracy: float | None
    digit_accuracy_all: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    confusion: tuple[tuple[int, ...], ...]
    confusions: tuple[tuple[int, int, int], ...]
    values: dict[int, int]
    digits: tuple[int, ...]
    by_state: dict[str, tuple[int, int]]
    by_symbol: dict[str, tuple[int, int]]
    mean_confidence: float | None
    calibration_error: float | None
    accepted_share: float | None
    accepted_error: float | None
    wrong: tuple[Case, ...]
    unlabelled: tuple[tuple[str, str], ...]


def evaluate(
    rows: Sequence[Row], labels: Sequence[Label], source: str = "readings", label_source: str = "labels"
) -> Evaluation:
    """Measure the rows of a readings file (see `export.COLUMNS`) against labels.

    Where label and reading are known for the same number of cells, a number is right if all cells are;
    otherwise if its value is, as a number: databases keep no leading zeros. source, label_source: names for messages.
    Raises DataError where the two do not fit: nothing in common, a field read twice, an unclear label.
    """
    cases, unlabelled = match(rows, labels, source, label_source)
    outcomes = Counter(case.outcome for case in cases)
    by_state, by_symbol = _by_cell(cases)
    return Evaluation(
        n=len(cases),
        right=outcomes["right"],
        accuracy=outcomes["right"] / len(cases),
        interval=wilson(outcomes["right"], len(cases)),
        extraction=outcomes["extraction"],
        classification=outcomes["classification"],
        missing=outcomes["missing"],
        values=dict(sorted(Counter(int(c.label) for c in cases if c.label and POINT not in c.label).items())),
        by_state=by_state,
        by_symbol=by_symbol,
        wrong=tuple(case for case in cases if case.outcome != "right"),
        unlabelled=tuple(unlabelled),
        **_digit_measures(cases),
        **_trust_measures(cases),
    )


def match(
    rows: Sequence[Row], labels: Sequence[Label], source: str = "readings", label_source: str = "labels"
) -> tuple[list[Case], list[tuple[str, str]]]:
    """Each label beside its reading, by form and field, and the (form, field) of readings without a label.

    A label without a field is that of its form's only field. What is unread, a text or date, is as if it had no label:
    nobody claims to have read it. Raises DataError as `evaluate` does.
    """
    readings: dict[tuple[str, str], Row] = {}
    fields: dict[str, list[str]] = {}
    for item in rows:
        key = item["form"], item["field"]
        if key in readings:
            raise DataError(f"{source}: form {key[0]!r} field {key[1]!r} was read twice; keep one of the two")
        readings[key] = item
        fields.setdefault(key[0], []).append(key[1])
    cases: dict[tuple[str, str], Case] = {}
    for label in labels:
        own = fields.get(label.form, [])
        if not label.field and len(own) > 1:
            raise DataError(
                f"{label_source}: the label of form {label.form!r} names no field, and the form has "
                f"{', '.join(own)}; add a column field"
            )
        key = label.form, label.field or (own[0] if own else "")
        if key in cases:
            raise DataError(f"{label_source}: form {key[0]!r} field {key[1]!r} is labelled twice; keep one")
        if key in readings and readings[key]["state"] == "unread":
            continue
        cases[key] = _case(key, label, readings.get(key))
    if not cases.keys() & readings.keys():
        ours, theirs = ({form for form, _ in keys} for keys in (readings, cases))
        only_zeros = not ours & theirs and {*map(plain, ours)} & {*map(plain, theirs)}
        zeros = "; where a form is called by a number, its zeros belong to the name" if only_zeros else ""
        raise DataError(
            f"no label of {label_source} ({_example(cases)}) fits a reading of {source} "
            f"({_example(readings)}); form and field must be named alike in both{zeros}"
        )
    return [cases[key] for key in sorted(cases)], sorted(readings.keys() - cases.keys())


def confusion_matrix(pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.int64]:
    """(10, 10) counts of digits by label (row) and reading (column), over pairs of equal digit count."""
    matrix = np.zeros((10, 10), np.int64)
    for label, read in pairs:
        if len(label) == len(read):
            for i, j in zip(label, read, strict=True):
                matrix[int(i), int(j)] += 1
    return matrix


def wilson(right: float, n: float) -> tuple[float, float]:
    """The 95 % interval of Wilson (1927) for a share of `right` among `n` > 0."""
    z, share = 1.959964, right / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))


def _case(key: tuple[str, str], label: Label, row: Row | None) -> Case:
    cells = label.written
    value = "" if cells and state_of(cells) != "written" else label.value
    if row is None:
        return Case(*key, value, cells, "", "", "", "missing")
    read, written, state = row["value"] if row["state"] == "written" else "", row["written"], row["state"]
    if cells and len(cells) == len(written):
        right = cells == written
    elif value:
        right = plain(value) == plain(read)
    else:
        right = state in (("overwritten", "overflow") if UNREADABLE in cells else ("blank", "crossed-out"))
    outcome: Outcome = "right" if right else "classification" if len(value) == len(read) else "extraction"
    confidence = float(row["confidence"]) if row["confidence"] else None
    accepted = {"true": True, "false": False}.get(row["accepted"])
    return Case(*key, value, cells, read, written, state, outcome, confidence, accepted)


def _by_cell(cases: Sequence[Case]) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """Labelled and right: fields by the label's state, and cells by symbol where the cell counts agree."""
    fields = [(state_of(c.label_written), c.outcome == "right") for c in cases if c.label_written]
    cells = [
        (a, a == b)
        for c in cases
        if len(c.label_written) == len(c.read_written)
        for a, b in zip(c.label_written, c.read_written, strict=True)
    ]
    return _count(fields, get_args(State)), _count(cells, SYMBOLS)


def _count(marks: Sequence[tuple[str, bool]], names: Iterable[str]) -> dict[str, tuple[int, int]]:
    labelled, right = Counter(name for name, _ in marks), Counter(name for name, hit in marks if hit)
    return {name: (labelled[name], right[name]) for name in names if labelled[name]}


def _digit_measures(cases: Sequence[Case]) -> dict[str, Any]:
    read = [case.label if case.outcome == "right" else case.read for case in cases]
    confusion = confusion_matrix([(digits_of(c.label), digits_of(text)) for c, text in zip(cases, read, strict=True)])
    digits = Counter("".join(digits_of(case.label) for case in cases))
    hits = int(np.trace(confusion))
    precision, recall, f1 = macro(confusion)
    off = [(int(i), int(j), int(confusion[i, j])) for i, j in np.argwhere(confusion) if i != j]
    return {
        "digit_accuracy": _share(hits, int(confusion.sum())),
        "digit_accuracy_all": _share(hits, digits.total()),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "confusion": tuple(tuple(int(count) for count in line) for line in confusion),
        "confusions": tuple(sorted(off, key=lambda item: (-item[2], item))),
        "digits": tuple(digits[d] for d in DIGITS),
    }


def _trust_measures(cases: Sequence[Case]) -> dict[str, Any]:
    pairs = [(case.confidence, case.outcome == "right") for case in cases if case.confidence is not None]
    accepted = [case.outcome == "right" for case in cases if case.accepted]
    policy = any(case.accepted is not None for case in cases)
    return {
        "mean_confidence": _share(math.fsum(confidence for confidence, _ in pairs), len(pairs)),
        "calibration_error": calibration_error(pairs),
        "accepted_share": len(accepted) / len(cases) if policy else None,
        "accepted_error": _share(accepted.count(False), len(accepted)),
    }


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _example(keys: Mapping[tuple[str, str], object]) -> str:
    if not keys:
        return "there are none"
    form, field = next(iter(keys))
    return f"such as form {form!r}" + (f" field {field!r}" if field else "")
