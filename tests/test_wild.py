"""The pages of `make bench-wild`: made by seed, with the truth about where their fields lie."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wild
import wild_forms
import wild_pages
from inkshift.datasets.synth import shapes
from inkshift.forms.reading import FieldReading, FormReading, PageNote
from wild_forms import Form, Sheet
from wild_pages import LIES, Made, Task, Truth

FORMS, DRAWN = ["telegram", "class list", "tally", "c1", "ufpr"], ["telegram", "class list", "tally"]
SMALL = 300, 420


@pytest.fixture(scope="module", autouse=True)
def drawn_glyphs() -> None:
    """Digits that need no data."""
    maps, labels = shapes.bank(4, 5)
    bank = maps, [np.flatnonzero(labels == d) for d in range(10)]
    before = wild_forms._glyphs
    wild_forms._glyphs = lambda: bank
    yield
    wild_forms._glyphs = before


@pytest.fixture(scope="module")
def forms() -> dict[str, Form]:
    return wild_forms.drawn_forms()


def spotted(seed: int = 3) -> Sheet:
    """A small white sheet with six black fields: where they are can be seen on any picture of it."""
    image = np.full((SMALL[1], SMALL[0], 3), 235, np.uint8)
    quads = []
    for x in (60.0, 180.0):
        for y in (70.0, 190.0, 310.0):
            quads.append(wild_forms._corners((x, y, 50.0, 30.0)))
            image[int(y) : int(y) + 30, int(x) : int(x) + 50] = 20
    return Sheet(image, np.stack(quads), {f"f{k}": str(k) for k in range(6)})


# -- the plan --------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert wild_pages.plan(FORMS, DRAWN, 150, 5) == wild_pages.plan(FORMS, DRAWN, 150, 5)
    assert wild_pages.plan(FORMS, DRAWN, 150, 5) != wild_pages.plan(FORMS, DRAWN, 150, 6)


def test_a_full_plan_holds_every_situation_of_every_form_by_every_road_and_every_ink_on_every_print() -> None:
    tasks = wild_pages.plan(FORMS, DRAWN, 2000, 12)
    assert len(tasks) == len({task.seed for task in tasks}) == 2000
    kinds = [kind for kind in wild_pages.KINDS if kind != wild_pages.SIBLING]
    seen = {(task.kind, task.form, task.road) for task in tasks}
    assert {(kind, form, road) for kind in kinds for form in FORMS for road in wild_pages.ROADS} <= seen
    inks = {(task.ink, task.style) for task in tasks if task.kind == "ink"}
    assert len(inks) == len(wild_forms.INKS) * len(wild_forms.PRINTS) == 48


@given(st.integers(20, 400))
@settings(max_examples=15)
def test_a_short_plan_touches_most_kinds(count: int) -> None:
    tasks = wild_pages.plan(FORMS, DRAWN, count, 12)
    assert len(tasks) == count
    assert len({task.kind for task in tasks}) >= min(8, count // 3)


# -- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", wild_forms.PRINTS)
def test_what_is_written_is_ink_in_its_field_and_an_empty_field_has_none(forms: dict[str, Form], style: str) -> None:
    form = forms["telegram" if style == "dotted guides" else "class list"]
    sheet = form.fill("black", style, np.random.default_rng(4))
    for quad, spec in zip(sheet.quads, form.page.fields, strict=True):
        (x0, y0), (x1, y1) = quad.min(0) + 6, quad.max(0) - 6
        crop = sheet.image[int(y0) : int(y1), int(x0) : int(x1)].min(2)
        if sheet.written[spec.name]:
            assert (crop < 110).sum() > 15, spec.name
        else:
            assert crop.min() > 110, spec.name


@pytest.mark.parametrize("kind", LIES)
@pytest.mark.parametrize("seed", range(3))
def test_fields_lie_on_the_picture_where_the_truth_says(kind: str, seed: int) -> None:
    bed = LIES[kind](spotted(), np.random.default_rng(seed))
    assert len(bed.truths) == (2 if kind == "a page and a half" else 1)
    assert all(truth.quads.shape == (6, 4, 2) for truth in bed.truths)
    dark = np.clip(bed.image, 0, 255).astype(np.uint8).min(2) < 100
    seen = (zip(truth.quads, truth.whole, strict=True) for truth in bed.truths)
    for quad, whole in itertools.chain.from_iterable(seen):
        if whole:
            inside = np.zeros(dark.shape, np.uint8)
            middle = quad.mean(0)
            cv2.fillConvexPoly(inside, np.rint(middle + 0.7 * (quad[[0, 1, 3, 2]] - middle)).astype(np.int32), (1,))
            ring = np.zeros(dark.shape, np.uint8)
            cv2.polylines(ring, [np.rint(middle + 1.5 * (quad[[0, 1, 3, 2]] - middle)).astype(np.int32)], True, (1,))
            assert dark[inside > 0].mean() > 0.97, kind
            assert dark[ring > 0].mean() < 0.2, kind


@given(st.integers(0, 10**6), st.sampled_from(["bent (cylinder)", "folded"]))
@settings(max_examples=10)
def test_a_bend_forward_and_back_ends_where_it_began(seed: int, kind: str) -> None:
    caught = []

    class Caught(wild_pages.Bed):
        def lay(self, sheet, matrix, bend=None, torn=(), shade=None):  # type: ignore[no-untyped-def]
            caught.append(bend)

    before, wild_pages.Bed = wild_pages.Bed, Caught  # type: ignore[misc]
    try:
        LIES[kind](spotted(), np.random.default_rng(seed))
    finally:
        wild_pages.Bed = before  # type: ignore[misc]
    forward, back = caught[0]
    points = np.random.default_rng(seed).uniform((5, 5), (SMALL[0] - 5, SMALL[1] - 5), (40, 2))
    assert np.abs(back(forward(points)) - points).max() < 0.3


def test_what_is_beside_the_glass_or_torn_off_is_not_whole() -> None:
    bed = wild_pages.Bed(SMALL)
    bed.lay(spotted(), wild_pages._moved(-120, 0))
    assert bed.truths[0].whole.tolist() == [False] * 3 + [True] * 3
    bed = wild_pages.Bed(SMALL)
    bed.lay(spotted(), np.eye(3), torn=[np.array([[-5, -5], [130, -5], [130, 120], [-5, 120]])])
    assert bed.truths[0].whole.tolist() == [False] + [True] * 5


def test_the_same_task_gives_the_same_picture(forms: dict[str, Form]) -> None:
    task = Task("photograph", "tally", "as is", "black", "black frames", (12, 3, 0))
    one, other = (wild_pages.make(task, forms, {}) for _ in range(2))
    assert np.array_equal(one.picture, other.picture)
    assert np.array_equal(one.truths[0].quads, other.truths[0].quads)
    another = wild_pages.make(replace(task, seed=(12, 3, 1)), forms, {})
    assert not np.array_equal(one.truths[0].quads, another.truths[0].quads)


def test_a_fax_is_of_one_bit_and_its_fields_move_with_its_pixels(forms: dict[str, Form]) -> None:
    for seed in range(2):
        made = wild_pages.make(Task("fax", "tally", "as is", "black", "black frames", (1, seed)), forms, {})
        assert set(np.unique(made.picture)) == {0, 255}
        low, high = made.truths[0].quads.reshape(-1, 2).min(0), made.truths[0].quads.reshape(-1, 2).max(0)
        assert 0.6 < low[0] / made.picture.shape[1] < high[0] / made.picture.shape[1] < 0.95


@pytest.mark.parametrize("kind", wild_pages.CAMERAS)
def test_fields_move_with_the_pixels_of_a_camera(kind: str) -> None:
    flat = wild_pages.flat(spotted(), np.random.default_rng(1))
    taken = wild_pages.CAMERAS[kind](
        wild_pages.Made(np.clip(flat.image, 0, 255).astype(np.uint8), (*flat.truths,)), np.random.default_rng(2)
    )
    gray = taken.picture if taken.picture.ndim == 2 else taken.picture.min(2)
    middles = np.rint(taken.truths[0].quads.mean(1)).astype(int)
    assert (gray[middles[:, 1], middles[:, 0]] < 100).all()


@pytest.mark.parametrize("kind", wild_pages.COVERS)
def test_a_field_is_whole_just_where_nothing_lies_on_it(kind: str) -> None:
    for seed in range(6):
        bed = wild_pages.flat(spotted(), np.random.default_rng(seed))
        before = bed.image.copy()
        wild_pages._covered(bed, wild_pages.COVERS[kind], np.random.default_rng(seed))
        changed = np.abs(bed.image - before).max(2) > 40
        for quad, whole in zip(bed.truths[0].quads, bed.truths[0].whole, strict=True):
            (x0, y0), (x1, y1) = np.rint(quad.min(0)).astype(int) + 2, np.rint(quad.max(0)).astype(int) - 2
            if kind == "under a cup's ring":  # what is written is seen through it
                assert whole
            else:
                assert not (whole and changed[y0:y1, x0:x1].any())


def test_a_slip_covers_fields_whole_or_in_part() -> None:
    beds = [wild_pages.flat(spotted(), np.random.default_rng(seed)) for seed in range(6)]
    for seed, bed in enumerate(beds):
        wild_pages._covered(bed, wild_pages.COVERS["under a slip"], np.random.default_rng(seed))
    assert 0 < sum(int((~bed.truths[0].whole).sum()) for bed in beds) < 36


@pytest.mark.parametrize("kind", wild_pages.REFUSE)
def test_what_must_be_refused_holds_no_field(forms: dict[str, Form], kind: str) -> None:
    task = Task(kind, "tally", "as is", "black", "black frames", (1, 2))
    assert wild_pages.make(task, forms, wild_forms.siblings()).truths == ()


# -- judging ---------------------------------------------------------------------------------------------------------


def reading(form: Form, truth: Truth, said: dict[str, str], moved: int = 0, confidence: float = 0.97) -> FormReading:
    """What a reader says that takes each field for the one `moved` places further."""
    fields, names = [], [spec.name for spec in form.page.fields]
    for k, name in enumerate(names):
        quad = truth.quads[(k + moved) % len(names)]
        value = said[name]
        state = "written" if value else "blank"
        box = (*quad.min(0), *quad.max(0))
        fields.append(FieldReading(name, value, value, state, confidence, box=box))  # type: ignore[arg-type]
    return FormReading("page", tuple(fields), (PageNote("page.jpg", 1, 0.9),))


@pytest.fixture(scope="module")
def laid(forms: dict[str, Form]) -> tuple[Task, Made, Form]:
    task = Task("flat", "class list", "as is", "black", "black frames", (7, 0))
    return task, wild_pages.make(task, forms, {}), forms["class list"]


def test_a_page_read_right_is_all_right(laid: tuple[Task, Made, Form]) -> None:
    task, made, form = laid
    out = wild.judge(task, made, form, [reading(form, made.truths[0], made.truths[0].written)])
    assert (out.fields, out.sure, out.right, out.wrong, out.astray) == (120, 120, 120, 0, 0)
    assert out.lies and not out.refused and out.quality == 0.9


def test_a_page_a_row_off_is_read_from_other_fields_places(laid: tuple[Task, Made, Form]) -> None:
    task, made, form = laid
    truth, names = made.truths[0], [spec.name for spec in form.page.fields]
    said = {name: truth.written[names[(k + 4) % 120]] for k, name in enumerate(names)}
    out = wild.judge(task, made, form, [reading(form, truth, said, moved=4)])
    assert not out.lies and out.astray == 120
    assert out.wrong == sum(said[name] != truth.written[name] for name in names) > 90


def test_what_is_not_sure_is_neither_wrong_nor_right_above(laid: tuple[Task, Made, Form]) -> None:
    task, made, form = laid
    said = dict.fromkeys(made.truths[0].written, "999")
    out = wild.judge(task, made, form, [reading(form, made.truths[0], said, confidence=0.9)])
    assert (out.fields, out.sure, out.right, out.wrong) == (120, 0, 0, 0)


def test_a_refused_page_counts_its_fields_and_nothing_else(laid: tuple[Task, Made, Form]) -> None:
    task, made, form = laid
    out = wild.judge(task, made, form, [FormReading("page", (), (PageNote("page.jpg", 1, None, "page.jpg: no"),))])
    assert out.refused and not out.crashed and (out.fields, out.wrong) == (120, 0)


def test_anything_sure_on_another_form_is_wrong(laid: tuple[Task, Made, Form]) -> None:
    task, made, form = laid
    foreign = Made(made.picture, ())
    read = [reading(form, made.truths[0], dict.fromkeys(made.truths[0].written, ""))]
    out = wild.judge(replace(task, kind=wild_pages.BACK), foreign, form, read)
    assert out.wrong == out.fields == 120 and not out.lies


def test_of_two_pages_a_reading_is_judged_by_the_one_it_lies_on(forms: dict[str, Form]) -> None:
    task = Task(wild_pages.TWO, "tally", "as is", "black", "black frames", (7, 1))
    made, form = wild_pages.make(task, forms, {}), forms["tally"]
    right = made.truths[1]
    said = {name: wild_forms.value_of(cells) for name, cells in right.written.items()}
    out = wild.judge(task, made, form, [reading(form, right, said)])
    plain = sum(any(c.isdigit() for c in cells) or set(cells) == {"_"} for cells in right.written.values())
    assert out.lies and out.sure == plain > 8


def test_tables_count_each_page_once(laid: tuple[Task, Made, Form]) -> None:
    task, made, form = laid
    good = wild.judge(task, made, form, [reading(form, made.truths[0], made.truths[0].written)])
    none = wild.judge(task, made, form, [FormReading("page", (), (PageNote("p", 1, None, "p: no"),))])
    assert wild.row("flat", [good, good, none]) == "| flat | 3 | 1 | 0 | 360 | 66.7% | 66.7% | 0 | 0.0 | 0 |"
    assert "1 of 3: 33.33% (0.84% to 90.57%)" in "\n".join(wild.totals([good, good, none]))


def test_of_two_pages_one_of_which_nothing_is_seen_is_not_the_one_that_was_read(forms: dict[str, Form]) -> None:
    task = Task(wild_pages.TWO, "tally", "as is", "black", "black frames", (7, 1))
    made, form = wild_pages.make(task, forms, {}), forms["tally"]
    here, cut_off = made.truths
    made = replace(made, truths=(here, replace(cut_off, whole=np.zeros_like(cut_off.whole))))
    said = {name: wild_forms.value_of(cells) for name, cells in here.written.items()}
    out = wild.judge(task, made, form, [reading(form, here, said)])
    assert out.lies and out.sure > 8 and not out.astray


def test_two_pages_of_different_size_lie_whole_beside_each_other(forms: dict[str, Form]) -> None:
    small, large = forms["tally"], forms["class list"]
    rng = np.random.default_rng(2)
    bed = wild_pages._two(small.fill("black", "black frames", rng), large.fill("black", "black frames", rng), rng)
    assert all(truth.whole.all() for truth in bed.truths)
