"""Acceptance: which fields need no second look, by a policy that `inkshift calibrate` fitted.

A policy is one JSON file: a threshold, the curve that turns a confidence into a score, the promise that goes with
them, the reader it is made for, and the data it comes from. Reading by a policy needs no extras.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from inkshift.errors import InputError, SettingError
from inkshift.files import read_text, reason, whole_file
from inkshift.forms.reading import FieldReading, FormReading
from inkshift.forms.rules import level_of

ACCEPTABLE = ("written", "blank", "crossed-out")
DECIMALS = 4
QUANTILES = 400
"""How many numbers stand for the confidences that were usual."""

Knots = tuple[tuple[float, float], ...]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=0)]


class _PolicyPart(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class DataSource(_PolicyPart):
    """A file, or a database without its password, and the SHA-256 of what was in it."""

    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class SplitSummary(_PolicyPart):
    """Labelled forms, their labelled fields, and how many of these were accepted by the policy and wrong none the
    less."""

    forms: Count
    fields: Count
    accepted: Count
    wrong: Count


class UsualReadings(_PolicyPart):
    """What readings looked like when the policy was made, labelled or not.

    forms: how many there were. larger: share of these with more fields than the policy's `most`. confidence:
    quantiles, rising, of the mean confidence of a form.
    """

    forms: Annotated[int, Field(ge=1)]
    larger: Annotated[float, Field(ge=0, le=1)]
    confidence: Annotated[tuple[float, ...], Field(min_length=1, max_length=QUANTILES, strict=False)]


class Policy(_PolicyPart):
    """What is accepted, and what that promises.

    threshold: the least score, 0 to 1, that is accepted. score: knots (confidence, score), both rising; between
    them the score runs straight. most: nothing is accepted of a form with more fields. error: at most this share of
    accepted fields is wrong, with probability `confidence` over the draw of the labelled forms. reader: who made the
    readings (`Reader.signature`), the one reader that may use it. for_score, for_threshold: the forms that each was
    fitted on.
    """

    version: Literal[2] = 2
    threshold: Annotated[float, Field(ge=0, le=1)]
    most: Annotated[int, Field(ge=1)]
    reader: str
    score: Annotated[Knots, Field(min_length=2, strict=False)]
    error: Share
    confidence: Share
    unit: Literal["form"] = "form"
    readings: DataSource
    labels: DataSource
    seed: int
    for_score: SplitSummary
    for_threshold: SplitSummary
    usual: UsualReadings

    @field_validator("score")
    @classmethod
    def _rising(cls, knots: Knots) -> Knots:
        if any(not 0 <= v <= 1 for knot in knots for v in knot):
            raise ValueError("knots must be from 0 to 1")
        steps = np.diff(np.array(knots), axis=0)
        if (steps[:, 0] <= 0).any() or (steps[:, 1] < 0).any():
            raise ValueError("knots must rise")
        return knots


def load_policy(path: str | Path) -> Policy:
    """The policy in a JSON file. Raises InputError where it is missing, and SettingError where it is not valid."""
    try:
        text = read_text(path)
    except (OSError, ValueError) as e:
        raise InputError(f"{path}: no policy can be read ({reason(e)}); make one with `inkshift calibrate`") from None
    try:
        return Policy.model_validate_json(text)
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise SettingError(
            f"{path}: {place}: {first['msg']} ({e.error_count()} found); make the policy anew with `inkshift calibrate`"
        ) from None


def save_policy(policy: Policy, path: str | Path) -> None:
    """Write the policy as JSON; the file appears whole or not at all. Raises SettingError where it cannot."""
    with whole_file(Path(path)) as temporary:
        text = re.sub(r"\[\s+([^\[\],\s]+),\s+([^\[\],\s]+)\s+\]", r"[\1, \2]", policy.model_dump_json(indent=2))
        temporary.write_text(text + "\n", encoding="utf-8")


def scores(knots: Knots, confidence: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The score of each confidence, both 0 to 1.

    A confidence counts with the decimals that a readings file gives it, so that a field is judged alike before it
    is written and after.
    """
    x, y = np.array(knots).T
    return np.asarray(np.interp(np.round(np.asarray(confidence, np.float64), DECIMALS), x, y))


def acceptable(state: str, rules_broken: Sequence[str]) -> bool:
    """Whether a field may be accepted at all: it is written, blank or crossed out, and breaks no rule but warnings."""
    return state in ACCEPTABLE and all(level_of(m) == "warning" for m in rules_broken)


def apply(policy: Policy, form: FormReading) -> FormReading:
    """The form with `accepted` of each field set; confidences stay as they were read."""
    fits = len(form.fields) <= policy.most

    def accepted(field: FieldReading) -> bool:
        sure = fits and float(scores(policy.score, field.confidence)) >= policy.threshold
        return sure and acceptable(field.state, field.rules_broken)

    return replace(form, fields=tuple(replace(field, accepted=accepted(field)) for field in form.fields))


def usual(readings: Iterable[tuple[str, float]], most: int) -> UsualReadings:
    """What readings look like: (form, confidence) of each field; `most`: see `Policy`. There must be one."""
    forms = defaultdict(list)
    for form, confidence in readings:
        forms[form].append(round(confidence, DECIMALS))  # as readings in files are
    means = np.array([np.mean(fields) for fields in forms.values()])
    steps = (np.arange(min(len(means), QUANTILES)) + 0.5) / min(len(means), QUANTILES)
    quantiles = np.quantile(means, steps, method="inverted_cdf")
    larger = np.mean([len(fields) > most for fields in forms.values()])
    return UsualReadings(
        forms=len(means),
        larger=round(float(larger), 6),
        confidence=tuple(round(float(q), DECIMALS) for q in quantiles),
    )


def refuse_other(policy: Policy, reader: str, path: str | Path) -> None:
    """Raise SettingError where the policy was made with another reader than this one, by `Reader.signature`."""
    if policy.reader == reader:
        return
    remedy = "read the labelled forms again with this reader and calibrate anew"
    if not policy.reader:
        raise SettingError(
            f"{path}: expected the reader that it was made for, found none, since the readings named none; {remedy}"
        )
    theirs, ours = policy.reader.split("; "), reader.split("; ")
    has = ", ".join(part for part in theirs if part not in ours) or "nothing more"
    here = ", ".join(part for part in ours if part not in theirs) or "nothing more"
    raise SettingError(f"{path}: was made for another reader: that had {has}, this one has {here}; {remedy}")
