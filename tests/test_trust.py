"""Policies: what is accepted, what never is, and files that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift import Reader
from inkshift.errors import InputError, SettingError
from inkshift.forms.out.export import row
from inkshift.forms.reading import FieldReading, FormReading, State
from inkshift.forms.trust import (
    DataSource,
    Policy,
    SplitSummary,
    UsualReadings,
    apply,
    load_policy,
    refuse_other,
    save_policy,
    scores,
)

SOURCE = DataSource(name="a.csv", sha256="0" * 64)
PART = SplitSummary(forms=3, fields=3, accepted=2, wrong=0)


def policy(threshold: float = 0.8) -> Policy:
    return Policy(
        threshold=threshold,
        most=2,
        reader="inkshift 1; template ab; default; digits 12",
        usual=UsualReadings(forms=2, larger=0.0, confidence=(0.8, 0.9)),
        score=((0.0, 0.0), (0.5, 0.6), (1.0, 1.0)),
        error=0.01,
        confidence=0.95,
        readings=SOURCE,
        labels=SOURCE,
        seed=0,
        for_score=PART,
        for_threshold=PART,
    )


def accepted(confidence: float, state: State = "written", rules: tuple[str, ...] = ()) -> bool | None:
    field = FieldReading("A", "1", "1", state, confidence, rules_broken=rules)
    (judged,) = apply(policy(), FormReading("f", (field,))).fields
    assert judged.confidence == confidence
    return judged.accepted


def test_a_field_is_accepted_from_the_threshold_on() -> None:
    assert [accepted(c) for c in (0.5, 0.74, 0.75, 0.9)] == [False, False, True, True]


@pytest.mark.parametrize("state", ["overwritten", "overflow"])
def test_an_unclear_field_is_never_accepted(state: State) -> None:
    assert accepted(1.0, state) is False


def test_a_broken_rule_forbids_acceptance_and_a_warning_does_not() -> None:
    assert accepted(1.0, rules=("sum-1a2b r01 + r02 = A: 45 + 61 = 106, but A is 105",)) is False
    assert accepted(1.0, rules=("warning sum-1a2b r01 + r02 = A: 45 + 61 = 106, but A is 105",)) is True


@pytest.mark.parametrize(("fields", "expected"), [(2, True), (3, False)])
def test_nothing_is_accepted_of_a_form_that_is_larger_than_the_promise(fields: int, expected: bool) -> None:
    form = FormReading("f", tuple(FieldReading(name, "1", "1", "written", 1.0) for name in "ABC"[:fields]))
    assert {field.accepted for field in apply(policy(), form).fields} == {expected}


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ("inkshift 1; template ab; default; digits 34", r"p\.json: .* had digits 12, this one has digits 34; read the"),
        ("inkshift 1; template ab; default; digits 12; pp-ocrv6 56", "had nothing more, this one has pp-ocrv6 56"),
    ],
)
def test_a_policy_is_refused_by_another_reader(reader: str, message: str) -> None:
    refuse_other(policy(), policy().reader, "p.json")
    with pytest.raises(SettingError, match=message):
        refuse_other(policy(), reader, "p.json")
    with pytest.raises(SettingError, match="found none, since the readings named none"):
        refuse_other(policy().model_copy(update={"reader": ""}), reader, "p.json")


def test_a_reader_signs_its_readings_and_takes_policies_of_its_own_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    picture = np.full((60, 120), 255, np.uint8)
    cv2.putText(picture, "12", (20, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 0, 2)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    reader = Reader(read_as="number")
    (form,) = reader.read([tmp_path / "a.png"])
    assert form.reader == reader.signature
    assert [reader.model.digest[:12] in form.reader, "default" in form.reader] == [True, True]
    save_policy(policy().model_copy(update={"reader": form.reader}), path)
    (judged,) = Reader(read_as="number", policy=path).read([tmp_path / "a.png"])
    assert judged.fields[0].accepted is not None
    for other in ({"read_as": "digit"}, {"read_as": "number", "digits": (1, 9)}):
        with pytest.raises(SettingError, match="was made for another reader"):
            Reader(policy=path, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["blank", "crossed-out"])
def test_empty_fields_are_accepted_as_what_they_are(state: State) -> None:
    assert accepted(0.9, state) is True


@given(st.floats(0, 1))
def test_a_field_is_judged_alike_before_it_is_written_and_after(confidence: float) -> None:
    field = FieldReading("A", "1", "1", "written", confidence)
    written = float(row(FormReading("f"), field)["confidence"])
    assert scores(policy().score, confidence) == scores(policy().score, written)


def test_a_policy_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    save_policy(policy(), tmp_path / "p.json")
    assert load_policy(tmp_path / "p.json") == policy()
    assert "[0.5, 0.6]" in (tmp_path / "p.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 2.0}, "threshold"),
        ({"threshold": "0.5"}, "threshold"),
        ({"version": 1}, "version"),
        ({"more": 1}, "more"),
        ({"score": [[0.0, 0.5], [1.0, 0.2]]}, "knots must rise"),
        ({"score": [[0.0, 0.5]]}, "score"),
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(policy().model_dump() | change))
    with pytest.raises(SettingError, match=message):
        load_policy(path)


def test_a_missing_policy_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json.*inkshift calibrate"):
        load_policy(tmp_path / "none.json")
