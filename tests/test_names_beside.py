"""A list of the same design with other names beside its rows is another list: never read as if it were the form."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from inkshift import Reader
from inkshift.errors import RegistrationError, UnknownFormError
from inkshift.forms.registration.register import lay_at, register
from test_proof import NAMES, ROW, TOP, class_list, filled, moved, seen

OTHERS = (
    "Adeyemi",
    "Brandt",
    "Costa",
    "Dubois",
    "Eriksen",
    "Farah",
    "Gupta",
    "Haas",
    "Ivanov",
    "Jansen",
    "Kim",
    "Li",
    "Moe",
)
LISTS = {
    "one more in the middle": (*NAMES[:5], "Adeyemi", *NAMES[5:-1]),
    "one fewer": (*NAMES[:4], *NAMES[5:], ""),
    "one fewer, and a new one last": (*NAMES[:4], *NAMES[5:], "Adeyemi"),
    "two more": (*NAMES[:3], "Adeyemi", "Brandt", *NAMES[3:-2]),
    "others": OTHERS,
    "the same, sorted": tuple(sorted(NAMES)),
}
SITUATIONS = {
    "flat": moved(0.5, 0.99),
    "turned": moved(-6, 0.9),
    "small": moved(1, 0.62),
    "aside": moved(0, 1, -20, 15),
}


def listing(names: tuple[str, ...]) -> np.ndarray:
    sheet, _, _ = class_list()
    for k, name in enumerate(names):
        sheet[TOP + ROW * k + 3 : TOP + ROW * (k + 1) - 2, 54:356] = 255
        cv2.putText(sheet, name, (64, TOP + ROW * k + 29), 0, 0.8, (0,), 2, cv2.LINE_AA)
    return sheet


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("names", LISTS)
def test_another_list_of_the_same_design_is_not_read(names: str, situation: str) -> None:
    sheet, spec, _ = class_list()
    with pytest.raises(UnknownFormError, match="beside other names"):
        register(seen(filled(listing(LISTS[names])), SITUATIONS[situation]), spec, sheet)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_its_own_list_is_read(situation: str) -> None:
    sheet, spec, _ = class_list()
    (laid,) = register(seen(filled(listing(NAMES)), SITUATIONS[situation]), spec, sheet)
    assert min(laid.fields.values()) > 0.9


def test_one_other_name_leaves_its_own_row_in_doubt() -> None:
    sheet, spec, _ = class_list()
    page = filled(listing((*NAMES[:6], "Adeyemi", *NAMES[7:])))
    (laid,) = register(seen(page, moved(1, 0.97)), spec, sheet)
    assert laid.fields["r6"] < 0.6
    assert all(sure > 0.9 for name, sure in laid.fields.items() if name != "r6")


def test_rows_without_names_at_the_end_are_in_doubt_and_the_page_is_read() -> None:
    sheet, spec, _ = class_list()
    (laid,) = register(seen(filled(listing((*NAMES[:9], "", "", "", ""))), moved(1, 0.97)), spec, sheet)
    assert [name for name, sure in laid.fields.items() if sure < 0.6] == ["r9", "r10", "r11", "r12"]


def test_writing_over_a_name_does_not_make_another_list() -> None:
    sheet, spec, _ = class_list()
    page = filled(sheet)
    for k in (2, 7):
        y = TOP + ROW * k + 22
        cv2.line(page, (58, y + 3), (150, y - 4), (60,), 3, cv2.LINE_AA)
    cv2.circle(page, (110, TOP + ROW * 4 + 20), 30, (90,), 2, cv2.LINE_AA)
    (laid,) = register(seen(page, moved(1, 0.97)), spec, sheet)
    assert sum(sure > 0.9 for sure in laid.fields.values()) >= len(NAMES) - 3


def test_names_that_were_torn_off_are_no_other_list() -> None:
    sheet, spec, _ = class_list()
    torn = seen(filled(sheet), np.eye(3))
    cv2.fillPoly(torn, [np.array([[0, 560], [250, 560], [250, 700], [0, 700]])], (10,))
    laid = register(torn, spec, sheet)[0]
    assert laid.quality > 0.9 and np.median(list(laid.fields.values())) > 0.9


def test_a_form_that_says_nothing_of_names_takes_any_list() -> None:
    """Its picture was learned from several lists, so that what varies is blank."""
    _, spec, _ = class_list()
    (laid,) = register(seen(filled(listing(OTHERS)), moved(1, 0.97)), spec, listing(("",) * len(NAMES)))
    assert min(laid.fields.values()) > 0.9


def test_a_person_may_lay_another_list() -> None:
    sheet, spec, _ = class_list()
    laid = lay_at(seen(filled(listing(OTHERS)), np.eye(3)), spec, np.eye(3), sheet)
    assert laid.quality >= 0.5 and max(laid.fields.values()) < 0.6


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("repeated", [False, True])
def test_a_scanner_that_skips_or_repeats_rows_gives_no_neighbours_marks(rows: int, repeated: bool) -> None:
    """The feed slips: below, the table goes on a row too high or too low, and its lines fit all the same."""
    sheet, spec, _ = class_list()
    page, at, by = filled(sheet), TOP + ROW * 6, ROW * rows
    slipped = np.full_like(page, 255)
    if repeated:
        slipped[:at], slipped[at:] = page[:at], page[at - by : -by]
    else:
        slipped[:at], slipped[at:-by] = page[:at], page[at + by :]
    with pytest.raises(RegistrationError):
        register(seen(slipped, moved(0.5, 0.98)), spec, sheet)


def test_each_page_goes_to_the_list_whose_names_it_bears(tmp_path: Path, shipped_model: str) -> None:
    lists = {"4b": NAMES, "4c": OTHERS, "4b without Lund": LISTS["one fewer, and a new one last"]}
    for name, names in lists.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), listing(names))
        spec = class_list()[1].model_copy(update={"reference": f"{name}.png"})
        template = {"name": name, "pages": [spec.model_dump(mode="json", exclude_unset=True)]}
        (tmp_path / f"{name}.json").write_text(json.dumps(template))
    reader = Reader([tmp_path / f"{name}.json" for name in lists])
    for name, names in lists.items():
        assert reader.read_page(seen(filled(listing(names)), moved(1, 0.97))).template == name
    stranger = reader.read_page(seen(filled(listing(tuple(sorted(OTHERS, key=len)))), moved(1, 0.97)))
    assert not stranger.fields and "unknown form" in stranger.error


def test_other_words_beside_few_rows_leave_a_doubt_and_the_page_is_read() -> None:
    """They may be handwriting: a form of few fields is often shown to the designer filled in."""
    sheet, spec, _ = class_list()
    few = spec.model_copy(update={"fields": spec.fields[:5]})
    (laid,) = register(seen(filled(listing(OTHERS)), moved(1, 0.97)), few, sheet)
    assert len(laid.fields) == 5 and max(laid.fields.values()) <= 0.5
