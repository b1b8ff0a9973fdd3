"""Label spaces, how they relate, and the samples drawn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from inkshift.datasets.formats import LabelledImages
from inkshift.datasets.tasks import LABEL_SPACES, ReframedImages, Relation, Task, nested, sample, stratified
from inkshift.errors import DataError
from inkshift.reframe import parse

spaces = st.lists(st.sampled_from("abcdefgh"), min_size=2, unique=True)


def task(labels: object) -> Task:
    return Task(data="mnist", labels=labels)  # type: ignore[arg-type]


def test_the_sets_of_the_paper_relate_as_the_paper_says() -> None:
    digits, characters, both = task("digits"), task("characters"), task("digits+characters")
    assert digits.relation(digits) is Relation.EQUAL
    assert digits.relation(both) is Relation.SUBSET and both.relation(digits) is Relation.SUPERSET
    assert digits.relation(characters) is Relation.DISJOINT
    assert Relation.DISJOINT.formula == "Y_S ∩ Y_T = ∅"
    assert task(["a", "b"]).relation(task(["b", "c"])) is Relation.OVERLAPPING


@given(spaces, spaces)
def test_a_relation_is_that_of_the_sets(a: list[str], b: list[str]) -> None:
    found = task(a).relation(task(b))
    assert (found is Relation.EQUAL) == (set(a) == set(b))
    assert (found is Relation.DISJOINT) == (not set(a) & set(b))
    swapped = {Relation.SUBSET: Relation.SUPERSET, Relation.SUPERSET: Relation.SUBSET}
    assert task(b).relation(task(a)) is swapped.get(found, found)


def test_sizes_of_the_named_label_spaces() -> None:
    assert {name: len(labels) for name, labels in LABEL_SPACES.items()} == {
        "digits": 10,
        "uppercase": 26,
        "lowercase": 26,
        "characters": 52,
        "digits+characters": 62,
    }


@pytest.mark.parametrize("labels", ["digit", ["1"], ["1", "1"]])
def test_a_label_space_that_is_none_is_refused(labels: object) -> None:
    with pytest.raises(ValidationError, match=r"did you mean 'digits'|two classes or more"):
        task(labels)


@given(st.lists(st.integers(0, 9), min_size=20, max_size=300), st.data())
def test_a_sample_keeps_every_class_and_its_share(labels: list[int], data: st.DataObject) -> None:
    classes = np.array(labels, np.int64)
    kinds = len(set(labels))
    count = data.draw(st.integers(kinds, len(labels)))
    rows = stratified(classes, count, np.random.default_rng(0))
    assert len(rows) == count and len(set(rows.tolist())) == count and (np.diff(rows) > 0).all()
    assert set(classes[rows].tolist()) == set(labels)
    share = np.bincount(classes, minlength=10) * count / len(labels)
    assert (np.abs(np.bincount(classes[rows], minlength=10) - share) < kinds + 1).all()
    assert np.array_equal(rows, stratified(classes, count, np.random.default_rng(0)))


def test_a_sample_too_small_for_its_classes_is_refused() -> None:
    with pytest.raises(DataError, match="cannot hold 3 classes"):
        stratified(np.array([0, 1, 2, 2]), 2, np.random.default_rng(0))


def write_own(folder: Path, labels: str, test_labels: str) -> None:
    for split, kinds in (("train", labels), ("test", test_labels)):
        folder.mkdir(exist_ok=True)
        np.savez(folder / f"{split}.npz", images=np.zeros((len(kinds), 5, 4), np.uint8), labels=np.array(list(kinds)))


def test_own_data_must_lie_within_the_label_space(tmp_path: Path) -> None:
    write_own(tmp_path, "aab", "ab")
    own = Task(data=str(tmp_path), labels=("b", "a"))
    data, classes = own.load("train")
    assert classes.tolist() == [1, 1, 0] and len(data) == 3
    with pytest.raises(DataError, match="label 'b' is outside the label space a c"):
        Task(data=str(tmp_path), labels=("a", "c")).load("train")


def test_a_class_without_test_images_is_refused(tmp_path: Path) -> None:
    write_own(tmp_path, "ab", "a")
    with pytest.raises(DataError, match="class 'b' has no test image"):
        Task(data=str(tmp_path), labels=("a", "b")).load("test")


def test_pictures_are_framed_alike_at_once_and_when_asked_for() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (rng.integers(5, 30), rng.integers(5, 30)), dtype=np.uint8) for _ in range(6)]
    data = LabelledImages(images, np.array(list("ababab")), "drawn")
    rows, framing = np.array([4, 1, 2]), parse("gray|light_ink|resize(8)")
    taken = sample(data, np.array([0, 1] * 3), rows, framing)
    lazy = ReframedImages(images, rows, framing)
    assert isinstance(taken.images, np.ndarray) and taken.images.shape == (3, 8, 8)
    assert np.array_equal(lazy[np.array([2, 0])], taken.images[[2, 0]])
    assert taken.classes.tolist() == [0, 1, 0] and len(lazy) == 3


def test_catalogued_sets_give_the_images_of_their_task(shared_data: Path) -> None:
    data, classes = Task(data="nist_emnist", labels="characters").load("test")  # type: ignore[arg-type]
    assert (classes >= 0).sum() == np.char.isalpha(data.labels).sum()
    assert data.labels[classes == 0][0] == "A" and data.labels[classes == 51][0] == "z"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 99))
def test_small_samples_are_part_of_large_ones_and_all_are_stratified(sizes: list[int], seed: int) -> None:
    classes = np.repeat(np.arange(len(sizes)), sizes)
    order = nested(classes, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(classes)))
    for count in range(len(sizes), len(classes) + 1):
        held = np.bincount(classes[order[:count]], minlength=len(sizes))
        assert held.min() >= 1
        # One of each comes first, so rare classes may hold one more than their share and common ones lack as many.
        assert np.all(np.abs(held - count * np.array(sizes) / len(classes)) < 2 + len(sizes))


def test_another_seed_draws_other_images() -> None:
    classes = np.repeat(np.arange(3), 50)
    first, again, other = (nested(classes, np.random.default_rng(seed))[:30].tolist() for seed in (1, 1, 2))
    assert first == again and set(first) != set(other)


def test_several_sets_are_one_and_writers_are_never_on_both_sides(tmp_path: Path) -> None:
    for name, value in (("a", 10), ("b", 20)):
        (tmp_path / name).mkdir()
        images = np.full((40, 4, 4), value, np.uint8)
        np.savez(tmp_path / name / "train.npz", images=images, labels=np.arange(40).astype(str).astype("<U1"))
    names = (str(tmp_path / "a"), str(tmp_path / "b"))
    task = Task(data=names, labels="digits")
    data, classes = task.load("train")
    assert len(classes) == 80 and {int(image[0, 0]) for image in data.images} == {10, 20}
    split = Task(data=names, labels="digits", test_share=0.25)
    parts = {part: np.flatnonzero(split.load(part)[1] >= 0) for part in ("train", "test")}
    assert sorted([*parts["train"], *parts["test"]]) == list(range(80)) and len(parts["test"]) == 20
    assert str(split) == f"{names[0]} + {names[1]} digits, 0.25 split off to test on"
    assert "test_share" not in task.model_dump() and split.model_dump()["test_share"] == 0.25


@pytest.mark.parametrize("share", [None, 0.25])
def test_joined_sets_of_different_classes_are_counted_each_for_itself(tmp_path: Path, share: float | None) -> None:
    write_own(tmp_path / "one", "01" * 20, "01" * 20)
    write_own(tmp_path / "two", "AB" * 4, "AB" * 4)
    names = (str(tmp_path / "one"), str(tmp_path / "two"))
    task = Task(data=names, labels=("0", "1", "A", "B"), test_share=share)
    found = task.counts("train")
    assert tuple(found) == names and sum(found.values()) == (task.load("train")[1] >= 0).sum()
    data, classes = task.load("train")
    assert found[names[0]] == np.isin(data.labels[classes >= 0], ["0", "1"]).sum()
    if share is None:
        assert list(found.values()) == [40, 8]


def test_a_package_names_the_sets_that_its_network_learned(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from inkshift.studies.characters.deliver import _sources

    write_own(tmp_path / "one", "01" * 20, "01")
    write_own(tmp_path / "two", "AB" * 4, "AB")
    task = Task(data=(str(tmp_path / "one"), str(tmp_path / "two")), labels=("0", "1", "A", "B"))
    assert [(Path(one.name).name, one.images) for one in _sources(task)] == [("one", 40), ("two", 8)]


def test_a_set_with_one_part_is_split_by_writer(shared_data: Path) -> None:
    task = Task(data="ufpr", labels="digits", test_share=0.4)
    data, train = task.load("train")
    _, test = task.load("test")
    assert data.writers is not None
    hands = [set(data.writers[classes >= 0].tolist()) for classes in (train, test)]
    assert not hands[0] & hands[1] and len(hands[1]) == 3 and len(hands[0] | hands[1]) == 8
