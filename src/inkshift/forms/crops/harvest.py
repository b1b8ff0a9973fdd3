"""Pages and labels to the two data sets of Pacchiotti et al. 2023: numbers (section 3.1) and digits (3.2).

A digit takes its label from the number's label only where as many digits are found as the label has. The
search for digits never sees the label; what does not fit is listed with the reason, not guessed.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from inkshift.arrays import Gray
from inkshift.datasets.labels import Label
from inkshift.errors import DataError, SettingError
from inkshift.files import read_csv
from inkshift.forms import reader
from inkshift.forms.crops.folder import CropRow, Harvest, Omission, finish, new_folder
from inkshift.forms.cut import cutout, segment
from inkshift.forms.cut import ink as inks
from inkshift.forms.field import fields
from inkshift.forms.field.cells import cells_of_field
from inkshift.forms.field.decode import decode
from inkshift.forms.kinds import WITH_DIGITS
from inkshift.forms.page.laid import MARGIN
from inkshift.forms.reading import DIGITS, FieldReading, FormReading
from inkshift.forms.settings import ReadAs
from inkshift.forms.template import FieldSpec
from inkshift.models.runtime import classifier, softmax

Exclusions = dict[tuple[str, str], str]

STUCK, STRAY, EMPTY = "stuck digits", "stray marks", "empty"
NO_LABEL, NOT_READ, BY_HAND, TWICE = "no label", "not read", "excluded by hand", "form found twice"


def build(
    paths: Sequence[str | Path],
    labels: Sequence[Label],
    out: str | Path,
    *,
    template: str | Path = "",
    read_as: ReadAs | None = None,
    model: str | Path = "",
    exclude: str | Path | None = None,
    test_share: float = 0.2,
    workers: int = 1,
    progress: reader.Progress | None = None,
) -> Harvest:
    """Write the data sets of the labelled fields of `paths` to the folder `out`, whole or not at all.

    A data set that was there before is replaced; any other folder is left alone. exclude: CSV of what a
    person set aside, see `read_exclusions`. test_share: share of the forms, 0 to 1, whose rows say `test`.
    Raises SettingError or DataError, the latter also where no label fits any page.
    """
    if not 0 <= test_share <= 1:
        raise SettingError(f"test share must be a number from 0 to 1, found {test_share:g}")
    if read_as == "digit":
        raise SettingError("pictures of one digit need no cutting: give a template, or read as number")
    barred = read_exclusions(exclude) if exclude else {}
    source = reader.Reader(template, read_as=read_as, model=model, crops=True)
    with new_folder(Path(out)) as folder:
        gatherer = _Gatherer(folder, source, labels, barred, test_share)
        for form in source.read(list(paths), workers=workers, progress=progress):
            gatherer.take(form)
        finish(folder, gatherer.harvested(), _settings(source, test_share))
    return gatherer.result


def read_exclusions(path: str | Path) -> Exclusions:
    """What was set aside by hand: reasons by (form, field); an empty field stands for the whole form.

    path: CSV with the columns form, field and reason. Raises DataError where one is missing.
    """
    rows = read_csv(path, "form", "field", "reason")
    return {(row["form"], row["field"]): row["reason"] for _, row in rows}


def split_of(form: str, test_share: float) -> str:
    """`train` or `test`, by the form's name alone, so that further forms never move it."""
    place = int.from_bytes(hashlib.sha256(form.encode()).digest()[:8], "big") / 2**64
    return "test" if place < test_share else "train"


class _Gatherer:
    """Takes forms one by one and writes their pictures; rows gather in `result`."""

    def __init__(
        self,
        folder: Path,
        source: reader.Reader,
        labels: Sequence[Label],
        barred: Exclusions,
        test_share: float,
    ) -> None:
        self.folder, self.test_share = folder, test_share
        self.labels = {(label.form, label.field): label for label in labels}
        self.barred = barred
        self.specs = {spec.name: spec for spec in source.template.fields} if source.template else {}
        self.classify = classifier(source.model)
        self.frame = source.model.reframing.of_ink()
        self.temperature = source.model.manifest.calibration.get("number temperature", 1.0)
        self.result = Harvest()
        self.seen: set[str] = set()
        self.used: set[tuple[str, str]] = set()
        self.names: Counter[str] = Counter()

    def take(self, form: FormReading) -> None:
        """One form: its numbers and digits written, what is left out noted."""
        self.result.pages += len(form.pages)
        self.result.left_out += [Omission(form.name, "", "", NOT_READ, error) for error in form.errors]
        if not form.fields:
            return
        if form.name in self.seen:
            self.result.left_out.append(Omission(form.name, "", "", TWICE, form.pages[0].source))
            return
        self.seen.add(form.name)
        self.result.forms += 1
        for _, page in itertools.groupby(form.fields, key=lambda item: (item.source, item.page)):
            jobs = [job_of(item, self.specs.get(item.name)) for item in page if item.kind in WITH_DIGITS]
            level = inks.ink_level([cutout.inner(job) for job in jobs]) if len(jobs) > 1 else None
            for job in jobs:
                self._field(form, job, level)

    def _field(self, form: FormReading, job: cutout.FieldJob, level: float | None) -> None:
        label, reason = self._label(form, job.name)
        if label is None:
            self.result.left_out.append(Omission(form.name, job.name, "", *reason))
            return
        found = self._cells(job, level) if job.kind == "cells" else self._number(job, level)
        if not any(picture is not None for picture in found):
            self.result.left_out.append(Omission(form.name, job.name, "", EMPTY, f"no ink, label {label.value!r}"))
            return
        split = split_of(form.name, self.test_share)
        stem = self._stem(form.name, job.name)
        file = f"{stem}.png"
        Pillow.fromarray(job.crop).save(self.folder / "numbers" / file)
        self.result.numbers.append(CropRow(file, form.name, job.name, "", label.value, split))
        pairs, left = match(found, label, job.cells)
        self.result.left_out += [Omission(form.name, job.name, at, why, detail) for at, why, detail in left]
        for position, digit, picture in pairs:
            file = f"{digit}/{stem}-{position}.png"
            Pillow.fromarray(picture).save(self.folder / "digits" / file)
            self.result.digits.append(CropRow(file, form.name, job.name, str(position), digit, split))

    def _label(self, form: FormReading, name: str) -> tuple[Label | None, tuple[str, str]]:
        """The label of a field; where it cannot be used, None with the reason and a detail."""
        for key in ((form.name, name), (form.name, "")):
            if key in self.barred:
                self.used.update({key, (form.name, name)})
                return None, (BY_HAND, self.barred[key])
        key = (form.name, name) if len(form.fields) > 1 or (form.name, name) in self.labels else (form.name, "")
        label = self.labels.get(key)
        self.used.add(key)
        if label is None:
            return None, (NO_LABEL, "")
        if "?" in label.written:
            return None, (NO_LABEL, f"labelled as unreadable, {label.written!r}")
        if not label.value:
            return None, (EMPTY, f"labelled as {label.written!r}" if label.written else "labelled as empty")
        return label, ("", "")

    def _number(self, job: cutout.FieldJob, level: float | None) -> list[Gray | None]:
        """Pictures of the digits on the likeliest path, whatever their number."""
        lattice = segment.build(fields.upright(cutout.number_ink(job, level)))
        if not lattice.segments:
            return []
        pictures = [self.frame(part.picture) for part in lattice.segments]
        by_box = {part.box: picture for part, picture in zip(lattice.segments, pictures, strict=True)}
        decoded = decode(lattice, self._judge(pictures), digits=(1, 20), temperature=self.temperature)
        return [by_box[cell.box] for cell in decoded.cells]

    def _cells(self, job: cutout.FieldJob, level: float | None) -> list[Gray | None]:
        """A picture for each cell, None where it is empty: of its views the one most like a digit."""
        ink = inks.extract(job.dark, inks.threshold_of(cutout.inner(job), level))
        out: list[Gray | None] = []
        for cell in cells_of_field(ink, job.cells, job.frame, job.printed):
            views = [self.frame(view) for view in cell.views]
            best = self._judge(views)[:, :10].max(1).argmax() if views else 0
            out.append(views[best] if views else None)
        return out

    def _judge(self, pictures: Sequence[Gray]) -> npt.NDArray[np.float32]:
        return softmax(self.classify(np.stack(pictures)))

    def _stem(self, form: str, name: str) -> str:
        """A file name that is harmless everywhere and taken once."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{form}-{name}").lstrip(".") or "number"
        self.names[stem.lower()] += 1
        again = self.names[stem.lower()]
        return stem if again == 1 else f"{stem}~{again}"

    def harvested(self) -> Harvest:
        """The result, once all forms are taken. Raises DataError where no label fits a page."""
        done = self.result
        if not done.forms:
            raise DataError(f"no page was read: {done.left_out[0].detail}" if done.left_out else "no page was read")
        done.unused_labels = sorted(set(self.labels) - self.used)
        done.unused_exclusions = sorted(set(self.barred) - self.used)
        if len(done.unused_labels) == len(self.labels):
            raise DataError(
                f"no label fits a page: labels name forms such as {next(iter(self.labels))[0]!r}, pages "
                f"such as {min(self.seen)!r}; form and field must be named alike in both"
            )
        return done


def match(
    found: Sequence[Gray | None], label: Label, cells: int
) -> tuple[list[tuple[int, str, Gray]], list[tuple[str, str, str]]]:
    """Digits found, from left to right, with the digits of a label.

    Gives (position from 1, digit, picture), and (position, reason, detail) of what is left out. With a
    label `written` cell by cell, each cell stands for itself; else the counts must agree.
    """
    if cells and len(label.written) == cells:
        wanted = [(i, s, found[i - 1]) for i, s in enumerate(label.written, 1) if s in DIGITS]
        pairs = [(i, s, picture) for i, s, picture in wanted if picture is not None]
        return pairs, [(str(i), EMPTY, f"no ink, label {s!r}") for i, s, picture in wanted if picture is None]
    pieces = [(i, picture) for i, picture in enumerate(found, 1) if picture is not None]
    if len(pieces) != len(label.value):
        reason = STUCK if len(pieces) < len(label.value) else STRAY
        return [], [("", reason, f"found {len(pieces)}, label {label.value!r}")]
    return [(i, digit, picture) for (i, picture), digit in zip(pieces, label.value, strict=True)], []


def job_of(reading: FieldReading, spec: FieldSpec | None) -> cutout.FieldJob:
    """The reader's job again, from the crop it kept."""
    assert reading.crop is not None
    crop = reading.crop
    h, w = crop.shape[:2]
    if spec is None:
        return cutout.own(cutout.FieldJob(reading.name, "number", crop, inks.darkness(crop), (0, 0, w, h)))
    m = round(h * MARGIN / (1 + 2 * MARGIN))
    kind: cutout.Kind = "cells" if spec.cells else "number"
    dark = inks.darkness(crop, round(1.5 * (h - 2 * m)))
    return cutout.own(
        cutout.FieldJob(spec.name, kind, crop, dark, (m, m, w - m, h - m), spec.cells, printed=spec.frame)
    )


def _settings(source: reader.Reader, test_share: float) -> dict[str, object]:
    template = source.template
    return {
        "template": {"name": template.name, "version": template.version} if template else None,
        "read_as": source.settings.read_as,
        "model": {"name": source.model.manifest.name, "digest": source.model.digest},
        "reframing": str(source.model.reframing),
        "test_share": test_share,
    }
