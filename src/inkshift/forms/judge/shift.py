"""Will it hold on these pages? What share of numbers is probably read right, and what differs from the training data.

Nobody has to label anything. See `shift_predict` for the share, `shift_features` for what is compared. Drift is whether
readings still look like those that a policy was made on: the confidences of a reader show much that makes reading
harder, and larger forms show by themselves. A reader that goes wrong more often and is as sure as before shows in
neither: only labels tell.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from inkshift.arrays import Floats
from inkshift.errors import InputError, SettingError
from inkshift.files import html_templates, whole_file
from inkshift.forms.judge import shift_predict
from inkshift.forms.judge.guarantee import scipy
from inkshift.forms.judge.shift_features import FEATURES, Feature, features
from inkshift.forms.judge.shift_predict import LEVEL, Constants, Prediction, constants, predict
from inkshift.forms.kinds import WITH_DIGITS
from inkshift.forms.out.html import picture_of
from inkshift.forms.reader import Progress, Reader
from inkshift.forms.reading import DIGITS, FieldReading, FormReading
from inkshift.forms.trust import UsualReadings, usual

Kind = Literal["number", "digit"]

# How sure a difference must be, after Holm (1979), and how far apart the two distributions, to be told.
SURE, FAR = 0.01, 0.2
SHOWN = 24
# Shares of the digits 0 to 9 among the 60,000 of MNIST's training part.
MNIST = np.array([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]) / 60_000


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """One feature here and in what the model learned from.

    median, learned: of either. above: share of the latter that lies below the median here, 0 to 1. distance: greatest
    gap of the two distributions, 0 to 1. p: of Kolmogorov and Smirnov's test, after Holm for all features. told: a
    sentence, empty where they do not differ enough.
    """

    name: str
    what: str
    median: float
    learned: float
    above: float
    distance: float
    p: float
    told: str


@dataclass(frozen=True, slots=True)
class Digit:
    """The share of a digit here as estimated, with an interval at `LEVEL`; as counted in the readings; in MNIST."""

    digit: str
    share: float
    low: float
    high: float
    counted: float
    mnist: float


class Outlier(NamedTuple):
    """A field that looks unlike what the model learned from: by how many deviations, and in which feature."""

    distance: float
    feature: str
    form: str
    field: FieldReading


@dataclass(frozen=True, slots=True)
class Shift:
    """What can be said of pages before anybody labels them. changed: digits that the shares here would read otherwise.

    notes: what to keep in mind. errors: pages that were not read. drift: what differs from the readings that the
    reader's policy was made on, so that its promise may not hold here; empty without a policy.
    """

    predicted: Prediction
    differences: tuple[FeatureShift, ...]
    digits: tuple[Digit, ...]
    changed: int
    notes: tuple[str, ...]
    errors: tuple[str, ...]
    furthest: tuple[Outlier, ...] = field(compare=False, repr=False)
    drift: tuple[str, ...]


def shift(reader: Reader, paths: Sequence[str | Path], *, workers: int = 1, progress: Progress | None = None) -> Shift:
    """Read pages, and say how well that probably went and what is different about them.

    reader: one that keeps crops. Raises MissingExtraError without scipy, SettingError for a reader whose numbers no
    constants were fitted for, InputError where no field was read, and what `Reader.read` raises.
    """
    scipy("stats", "inkshift shift")
    _check_reader(reader)
    forms = reader.read(paths, workers=workers, progress=progress)
    return examine(forms, reader)


def _check_reader(reader: Reader) -> None:
    if not reader.settings.crops:
        raise SettingError("shift looks at pictures of fields; make the Reader with crops=True")
    if reader.number_model is None:
        raise SettingError(
            f"model {reader.settings.model or reader.settings.method!r}: shift knows numbers that are read whole; "
            "leave the model out, or give one that reads numbers"
        )


def examine(forms: Iterable[FormReading], reader: Reader) -> Shift:
    """As `shift`, from forms that the reader read."""
    kinds = kinds_of(reader)
    looks_like = constants("digit" if reader.settings.read_as == "digit" else _number_kind(reader))
    read: dict[Kind, list[FieldReading]] = {"number": [], "digit": []}
    rows: list[Floats] = []
    far: list[tuple[float, int, Outlier]] = []
    errors: list[str] = []
    sure: list[tuple[str, float]] = []
    for form in forms:
        errors += form.errors
        sure += [(form.name, item.confidence) for item in form.fields]
        for item in form.fields:
            if item.kind not in WITH_DIGITS:
                continue
            read[kinds.get(item.name, kinds[""])].append(_light(item))
            if item.crop is not None:
                rows.append(features(item.crop, len(item.value)))
                at, name = _distance(rows[-1], looks_like)
                entry = (at, len(rows), Outlier(at, name, form.name, item))
                (heapq.heappush if len(far) < SHOWN else heapq.heappushpop)(far, entry)
    if not rows:
        raise InputError("no field was read on these pages" + (f"; first: {errors[0]}" if errors else ""))
    probabilities = digit_probabilities([*read["number"], *read["digit"]])
    digits, changed = _digits(probabilities, np.array(looks_like.shares))
    return Shift(
        predict(read["number"], read["digit"], _number_kind(reader)),
        differences(np.array(rows), looks_like),
        digits,
        changed,
        tuple(_notes(reader, len(rows))),
        tuple(errors),
        tuple(item for *_, item in sorted(far, reverse=True)),
        drift(reader.policy.usual, reader.policy.most, sure) if reader.policy else (),
    )


def kinds_of(reader: Reader) -> dict[str, Kind]:
    """How each field is read, by its name; under "" how those are that no template names."""
    whole: dict[str, Kind] = {"": "digit" if reader.settings.read_as == "digit" else "number"}
    named: dict[str, Kind] = {
        spec.name: "digit" if spec.cells else "number"
        for page in (reader.template.pages if reader.template else ())
        for spec in page.fields
    }
    return whole | named


def _number_kind(reader: Reader) -> str:
    return f"number {reader.settings.second_reader}" if reader.settings.second_reader else "number"


def _notes(reader: Reader, n: int) -> Iterable[str]:
    used = {"digit": reader.model, _number_kind(reader): reader.number_model}
    asked = {"digit"} if reader.settings.read_as == "digit" else {_number_kind(reader)}
    if reader.template and any(spec.cells for page in reader.template.pages for spec in page.fields):
        asked.add("digit")
    for kind, model in used.items():
        if model and kind in asked and constants(kind).model != model.digest:
            yield f"the prediction was fitted with another model than {model.manifest.name} ({model.digest[:12]})"
    if n < 50:
        yield f"{n} numbers say little about many: the interval is about these alone"


def _light(item: FieldReading) -> FieldReading:
    """The reading without its picture, which would fill the memory."""
    return FieldReading(item.name, item.value, item.written, item.state, item.confidence, item.candidates, item.cells)


def differences(rows: Floats, fitted: Constants) -> tuple[FeatureShift, ...]:
    """How features (n, 8) differ from those the model learned from, the most different first.

    Kolmogorov and Smirnov's test of two samples, with Holm's correction. Fields of one hand are alike, so with few
    hands it is sure too easily: the distance says more than p.
    """
    ks_2samp = scipy("stats", "inkshift shift").ks_2samp
    found = []
    for feature, here, there in zip(FEATURES, rows.T, np.array(fitted.looks).T, strict=True):
        here = here[np.isfinite(here)]
        if len(here):
            test = ks_2samp(here, there, method="asymp")
            median = float(np.median(here))
            found.append((float(test.pvalue), float(test.statistic), feature, median, there))
    found.sort(key=lambda one: (one[0], -one[1]))
    out, p = [], 0.0
    for rank, (raw, distance, feature, median, there) in enumerate(found):
        p = max(p, min(1.0, raw * (len(found) - rank)))
        above = float(np.mean(there < median) / 2 + np.mean(there <= median) / 2)
        told = _sentence(feature, above) if p < SURE and distance >= FAR else ""
        learned = float(np.median(there))
        out.append(FeatureShift(feature.name, feature.what, median, learned, above, distance, p, told))
    return tuple(sorted(out, key=lambda one: -one.distance))


def _sentence(feature: Feature, above: float) -> str:
    if 0.25 < above < 0.75:
        return f"{feature.name}: spread otherwise than in what the model learned from"
    word, share = (feature.more, above) if above > 0.5 else (feature.less, 1 - above)
    return f"{word} than in {100 * min(share, 0.999):.0f} % of what the model learned from"


def _distance(row: Floats, fitted: Constants) -> tuple[float, str]:
    """By how many deviations the feature of a field that is furthest from the middle is away, and its name."""
    low, middle, high = np.quantile(np.array(fitted.looks), [0.16, 0.5, 0.84], axis=0)
    side = np.where(row > middle, high - middle, middle - low)
    away = np.nan_to_num(np.abs(row - middle) / np.maximum(side, 1e-3))[:-1]
    return float(away.max()), FEATURES[int(away.argmax())].name


def digit_probabilities(fields: Iterable[FieldReading]) -> Floats:
    """For each digit that was read, the probability of each of the ten, (N, 10), rows that sum to 1.

    From a field's candidates that are as long as the likeliest: what they leave out is shared out evenly.
    """
    rows = []
    for item in fields:
        if not item.candidates or item.state != "written":
            continue
        best = item.candidates[0].written
        alike = [c for c in item.candidates if len(c.written) == len(best)]
        for at, symbol in enumerate(best):
            if symbol not in DIGITS:
                continue
            row = np.full(10, max(1 - sum(c.probability for c in alike), 1e-4) / 10)
            for candidate in alike:
                if candidate.written[at] in DIGITS:
                    row[int(candidate.written[at])] += candidate.probability
            rows.append(row / row.sum())
    return np.array(rows).reshape(-1, 10)


def _digits(probabilities: Floats, learned: Floats) -> tuple[tuple[Digit, ...], int]:
    """The share of each digit, and how many digits would be read otherwise with these shares as a prior."""
    if not len(probabilities):
        return (), 0
    share = shift_predict.estimate(probabilities, learned)
    low, high = shift_predict.interval(probabilities, learned, LEVEL)
    first = probabilities.argmax(1)
    counted = np.bincount(first, minlength=10) / len(first)
    changed = int((shift_predict.adjust(probabilities, learned, share).argmax(1) != first).sum())
    columns = zip(DIGITS, share, low, high, counted, MNIST, strict=True)
    return tuple(Digit(d, *map(float, values)) for d, *values in columns), changed


ALARM = 0.01
"""How often drift is told where there is none, at most; half of it for each of two tests."""


def drift(then: UsualReadings, most: int, readings: Iterable[tuple[str, float]]) -> tuple[str, ...]:
    """What differs from the readings that a policy was made on, a sentence each; nothing where it may be chance.

    then, most: of the policy. readings: (form, confidence 0 to 1) of each field; there must be one. The form is the
    unit: mean confidences of forms by the test of Kolmogorov and Smirnov, two-sided, and the number of forms that are
    too large by Fisher's.
    Raises MissingExtraError without scipy.
    """
    now = usual(readings, most)
    here, there = np.array(now.confidence), np.array(then.confidence)
    at = np.union1d(here, there)
    below = [np.searchsorted(part, at, side="right") / len(part) for part in (here, there)]
    n = np.sqrt(now.forms * then.forms / (now.forms + then.forms))
    p = scipy("special").kolmogorov((n + 0.12 + 0.11 / n) * np.abs(below[0] - below[1]).max())
    told = []
    if p < ALARM / 2:
        middle, usually = np.median(here), np.median(there)
        told.append(
            f"mean confidence of a form: median {middle:.3f}, {usually:.3f} where the policy was made (p {p:.1g})"
        )
    table = [[round(part.larger * part.forms), part.forms] for part in (now, then)]
    p = scipy("stats").fisher_exact([[large, forms - large] for large, forms in table]).pvalue
    if p < ALARM / 2:
        told.append(
            f"forms with more than {most} fields: {100 * now.larger:.2g} %, {100 * then.larger:.2g} % where the "
            f"policy was made (p {p:.1g})"
        )
    return tuple(told)


def plain(found: Shift) -> dict[str, Any]:
    """All of it but the pictures, for JSON; shares are from 0 to 1."""
    far = [
        {
            "form": one.form,
            "field": one.field.name,
            "source": one.field.source,
            "page": one.field.page,
            "feature": one.feature,
            "deviations": round(one.distance, 3),
        }
        for one in found.furthest
    ]
    return asdict(replace(found, furthest=())) | {"furthest": far}


def write_shift(found: Shift, path: Path) -> None:
    """One HTML file. Raises SettingError for a path that cannot be written."""
    page = html_templates(Path(__file__).parent, picture=picture_of).get_template("shift.html.j2").render(shift=found)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
