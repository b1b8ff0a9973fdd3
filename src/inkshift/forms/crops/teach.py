"""What a number recogniser learns from a user's own pages: their numbers, labelled or not, as it is to see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.datasets.labels import Label, read_labels
from inkshift.errors import DataError
from inkshift.forms.crops import harvest
from inkshift.forms.cut import cutout
from inkshift.forms.field import numbers
from inkshift.forms.kinds import WITH_DIGITS
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FormReading
from inkshift.forms.settings import SecondReader
from inkshift.models.ctc import LineProbabilities
from inkshift.reframe import Reframing


@dataclass(frozen=True, slots=True)
class HarvestedNumber:
    """One number of a form. views: as the recogniser sees it, the first as it reads it; crop: for a second reader."""

    form: str
    field: str
    views: Sequence[Gray]
    crop: npt.NDArray[np.uint8]


@dataclass(slots=True)
class LabelledHarvest:
    """Numbers with their digits, and how many fields were left out, by reason."""

    numbers: list[HarvestedNumber] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def labelled(reader: Reader, paths: Sequence[str | Path], labels: Sequence[Label]) -> LabelledHarvest:
    """The numbers on the pages that have a label of digits. `reader` must keep crops.

    Raises DataError where no label fits any page.
    """
    known = {(label.form, label.field): label for label in labels}
    out = LabelledHarvest()
    seen = ""
    for form in reader.read(paths):
        if form.errors:
            out.left_out["page not read"] += len(form.errors)
        for number in of_form(reader, form):
            label = known.get((form.name, number.field)) or (
                known.get((form.name, "")) if len(form.fields) == 1 else None
            )
            seen = seen or form.name
            if label is None or not label.value or "?" in label.written:
                out.left_out["no label" if label is None else "labelled as no number"] += 1
                continue
            out.numbers.append(number)
            out.labels.append(label.value)
    if not out.numbers:
        named = repr(labels[0].form) if labels else "no form"
        raise DataError(
            f"no label fits a page: labels name {named}, pages {seen!r}; name forms and fields alike in both"
        )
    return out


@dataclass(slots=True)
class UnlabelledHarvest:
    """Numbers without labels. second: probabilities (T, 11) of a second reader for each, or None."""

    numbers: list[HarvestedNumber]
    second: list[LineProbabilities] | None


def unlabelled(
    reader: Reader, paths: Sequence[str | Path], second_reader: SecondReader | None = None
) -> UnlabelledHarvest:
    """All numbers on the pages. `reader` must keep crops. Raises DataError where there are none."""
    found = [number for form in reader.read(paths) for number in of_form(reader, form)]
    if not found:
        raise DataError(f"{paths[0]}: no number was found on these pages; check the template, or the errors of read")
    second = None
    if second_reader and reader.number_model:
        other = numbers.number_reader(reader.number_model, second_reader).second
        second = other([number.crop for number in found]) if other else None
    return UnlabelledHarvest(found, second)


def score(reader: Reader, paths: Sequence[str | Path], labels: str) -> tuple[int, int]:
    """How many of the labelled numbers on the pages are read right, and of how many."""
    forms = list(reader.read(paths))
    known = {(label.form, label.field): label.value for label in read_labels(labels)}
    pairs = [
        (item.value, known.get((form.name, item.name), known.get((form.name, ""))))
        for form in forms
        for item in form.fields
        if item.kind in WITH_DIGITS
    ]
    judged = [(value, label) for value, label in pairs if label]
    if not judged:
        raise DataError(f"{labels}: no label fits a page; name forms and fields alike in both")
    return sum(value == label for value, label in judged), len(judged)


def of_form(reader: Reader, form: FormReading) -> Iterator[HarvestedNumber]:
    """The numbers of a form that was read with its crops kept, cells and free ones alike."""
    if reader.number_model is None:
        raise DataError("the model reads single digits; give a model of whole numbers, such as numbers")
    specs = {spec.name: spec for spec in reader.template.fields} if reader.template else {}
    frame = reader.number_model.reframing
    for item in form.fields:
        if item.kind not in WITH_DIGITS:
            continue
        job = harvest.job_of(item, specs.get(item.name))
        yield _number(form.name, item.name, job, frame)


def _number(form: str, name: str, job: cutout.FieldJob, frame: Reframing) -> HarvestedNumber:
    crop, dark = cutout.seen(job)
    return HarvestedNumber(form, name, numbers.Line(crop, dark).pictures(frame), crop)
