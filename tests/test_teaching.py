"""A number recogniser taught on own numbers: split by form, gone on after a kill, never worse than it began unseen."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inkshift.datasets.synth import paper, shapes, strings
from inkshift.errors import DataError, ModelError
from inkshift.models import ctc
from inkshift.models.package import GRAPH, load_model
from inkshift.models.train import adapt, finetune, loop, numbers, teaching
from inkshift.models.train.eight_bits import share_read, steps_in
from inkshift.models.train.networks import NumberNet
from inkshift.reframe import parse
from inkshift.studies.numbers import work

FRAME = parse("gray|light_ink|stretch|line(32)")
TINY = (4, 4, 4, 8)


@pytest.fixture(scope="module")
def composed() -> finetune.Numbers:
    """Twenty-four numbers of six forms."""
    maps, labels = shapes.bank(2, 0)
    glyphs, papers = strings.make_glyphs(maps, labels, [len(labels)], [1.0]), paper.make_papers(0, each=1)
    rng = np.random.default_rng(0)
    made = [strings.compose_digits(glyphs, papers, rng, str(rng.integers(10, 99999))) for _ in range(24)]
    return finetune.Numbers([FRAME(p) for p, _ in made], [t for _, t in made], [f"form {i // 4}" for i in range(24)])


@given(st.lists(st.integers(0, 6), min_size=2, max_size=30), st.floats(0.05, 0.9), st.integers(0, 50))
def test_a_form_is_on_one_side_and_both_sides_have_some(forms: list[int], share: float, seed: int) -> None:
    labelled = finetune.Numbers([np.zeros((2, 8), np.uint8)] * len(forms), ["1"] * len(forms), [str(f) for f in forms])
    if len(set(forms)) < 2:
        with pytest.raises(DataError, match="at least two forms"):
            finetune.split_by_form(labelled, share, seed)
        return
    learn, held_out = finetune.split_by_form(labelled, share, seed)
    assert len(learn) + len(held_out) == len(forms) and len(learn) and len(held_out)
    assert not set(learn.forms) & set(held_out.forms)


def test_labels_are_digits_alone() -> None:
    with pytest.raises(DataError, match="'12a'"):
        finetune.Numbers([np.zeros((2, 8), np.uint8)], ["12a"], ["x"])


def taught(
    composed: finetune.Numbers, checkpoint: Path | None, epochs: int
) -> tuple[NumberNet, list[finetune.FineTuneEpoch]]:
    torch.manual_seed(0)
    net = NumberNet(TINY)
    learn, held_out = finetune.split_by_form(composed, 0.3, 0)
    plan = finetune.FineTuneSettings(epochs=epochs, patience=9, batch=8, least=16, rate=0.01)
    return net, finetune.fine_tune(net, learn, held_out, plan, rehearse=None, checkpoint=checkpoint)


def test_it_keeps_the_weights_that_did_best_on_the_forms_held_out(composed: finetune.Numbers) -> None:
    net, history = taught(composed, None, 4)
    _, held_out = finetune.split_by_form(composed, 0.3, 0)
    loss, _ = finetune.judge(net, strings.Lines(held_out.pictures), held_out.labels)
    assert loss == pytest.approx(min(epoch.held_out_loss for epoch in history), rel=1e-4)
    assert history[-1].loss < history[0].loss


def test_a_run_that_was_killed_ends_with_the_same_weights(
    composed: finetune.Numbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, history = taught(composed, None, 3)
    real, calls = finetune.judge, []

    def dies(*args: object) -> tuple[float, float]:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(finetune, "judge", dies)
    with pytest.raises(KeyboardInterrupt):
        taught(composed, tmp_path / "own.pt", 3)
    monkeypatch.setattr(finetune, "judge", real)
    again, gone_on = taught(composed, tmp_path / "own.pt", 3)
    assert gone_on == history
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("forgets", "gains", "way"),
    [(0.04, 1.0, 0.2), (0.0, 1.0, 1.0), (0.5, 1.0, 0.0), (0.0, -1.0, 0.0), (0.015, 1.0, 0.6)],
)
def test_weights_go_back_as_far_as_the_old_task_asks(forgets: float, gains: float, way: float) -> None:
    """One weight that was 0 and was taught to be 1: what it forgets and gains grows with it."""
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(net.weight)
    weight = net.weight.detach()  # the same memory, whatever is loaded
    old = {"weight": torch.zeros(1, 1)}
    found = finetune.go_back(
        net, old, own=lambda: 1 - gains * float(weight), composed=lambda: 0.76 - forgets * float(weight)
    )
    assert found == way and float(weight) == pytest.approx(way)


def agreed(rank: int, folder: str) -> None:
    """What one of several processes makes of a gradient of its own, left in a file."""
    weight = torch.nn.Parameter(torch.zeros(4))
    weight.grad = torch.full((4,), 1.0 + 2 * rank)
    loop.agree([weight], 0.0)
    Path(folder, str(rank)).write_text(str(weight.grad.tolist()))


def test_processes_that_train_together_take_the_mean_of_their_gradients(tmp_path: Path) -> None:
    numbers.together(2, agreed, str(tmp_path))
    assert [(tmp_path / str(rank)).read_text() for rank in (0, 1)] == [str([2.0] * 4)] * 2


def test_a_gradient_is_no_longer_than_it_may_be() -> None:
    weight = torch.nn.Parameter(torch.zeros(4))
    weight.grad = torch.full((4,), 10.0)
    loop.agree([weight], 1.0)
    assert float(weight.grad.norm()) == pytest.approx(1.0, rel=1e-4)


def test_the_loss_is_the_negative_log_of_the_texts_probability() -> None:
    torch.manual_seed(1)
    logits = torch.randn(3, 7, 11)
    texts = ["12", "7", "0000"[:2]]
    shares = logits.softmax(-1).numpy()
    scores = ctc.score([([view], [text]) for view, text in zip(shares, texts, strict=True)])
    expected = -np.mean(scores)
    found = loop.number_loss(logits, torch.from_numpy(strings.encode(texts)))
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_labels_of_digits_alone_leave_marks_open() -> None:
    """The loss of digits is that of the folded probabilities; a network without marks has one loss."""
    torch.manual_seed(2)
    logits, texts = torch.randn(2, 9, 18), torch.from_numpy(strings.encode(["12", "7"]))
    folded = torch.from_numpy(ctc.fold(logits.softmax(-1).numpy())).log()
    assert float(loop.number_loss(logits, texts)) == pytest.approx(float(loop.symbol_loss(folded, texts)))
    assert float(loop.number_loss(folded, texts)) == pytest.approx(float(loop.symbol_loss(folded, texts)))


class Memory:
    """What is rehearsed and checked with: a few numbers, the same ones again and again."""

    note = ""

    def __init__(self, numbers: finetune.Numbers) -> None:
        self.numbers = numbers

    def compose(self, count: int, seed: int, marked: bool = False) -> tuple[strings.Lines, npt.NDArray[np.int64]]:
        return strings.Lines(self.numbers.pictures), strings.encode(self.numbers.labels)

    def check(self, count: int) -> tuple[strings.Lines, list[str]]:
        rows = [i % len(self.numbers) for i in range(count)]
        return strings.Lines([self.numbers.pictures[i] for i in rows]), [self.numbers.labels[i] for i in rows]


def test_a_card_counts_numbers_and_not_their_views(
    composed: finetune.Numbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers that are each shown in two views count once, as those learned from and those held out."""
    twice = composed.rows([i for i in range(24) for _ in range(2)])
    monkeypatch.setattr(teaching.rehearsal, "load", lambda: Memory(composed))
    monkeypatch.setattr(teaching, "fine_tune", lambda *given, **more: None)
    monkeypatch.setattr(teaching, "go_back", lambda *given, **more: 0.0)
    monkeypatch.setattr(teaching, "judge", lambda *given: (1.0, 0.5))
    done = teaching.teach(load_model("numbers"), twice, tmp_path / "mine", shown=2)
    assert done.learned + done.held_out == 24
    card = done.model.manifest
    assert f"fine-tuned on {done.learned} own numbers, {done.held_out} more held out" in card.summary
    assert f"own numbers held out ({done.held_out}), before and after" in card.scores
    assert card.sources[-1].images == done.learned


def test_what_adapting_tells_is_measured_on_the_graph_that_it_writes(
    composed: finetune.Numbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that came to see nothing but twos is told as such, though its rounds said that all was well."""

    def spoil(net: NumberNet, pages: adapt.UnlabelledNumbers, **settings: object) -> list[adapt.Round]:
        with torch.no_grad():
            net.head.weight.zero_()
            net.head.bias.copy_(torch.eye(len(net.head.bias))[2] * 9)
        return [adapt.Round(number, 0.9, 24, 1.0, True) for number in range(2)]

    monkeypatch.setattr(teaching.rehearsal, "load", lambda: Memory(composed))
    monkeypatch.setattr(teaching, "adapt", spoil)
    base, pages = load_model("numbers"), adapt.UnlabelledNumbers([[p, p] for p in composed.pictures], composed.forms)
    done = teaching.adapt_to(base, pages, tmp_path / "mine")
    check, labels = Memory(composed).check(400)
    graphs = [(model.folder / GRAPH).read_bytes() for model in (base, load_model(str(done.model.folder)))]
    assert done.composed == tuple(share_read(graph, check, labels) for graph in graphs)
    assert done.composed[0] > 0.5 and done.composed[1] == 0 and done.rounds == 1
    calibration = base.manifest.calibration
    assert done.agreement == tuple(adapt.agreement(partial(steps_in, graph), pages, calibration) for graph in graphs)
    assert done.agreement[0] != done.agreement[1]
    assert [text for name, text in done.model.manifest.scores.items() if name.startswith("composed")] == [
        f"{done.composed[0]:.4f}, 0.0000"
    ]


def test_a_model_of_digits_cannot_be_taught_numbers() -> None:
    with pytest.raises(ModelError, match="expected a number recogniser"):
        finetune.net_of(load_model("digits"))


def test_a_package_comes_back_as_the_network_it_was_made_from() -> None:
    net = NumberNet((4, 6, 8, 10))
    assert finetune.widths_of(net.state_dict()) == (4, 6, 8, 10)


@pytest.mark.parametrize("classes", [11, 18])
def test_adapting_needs_readings_that_are_sure(composed: finetune.Numbers, classes: int) -> None:
    pages = adapt.UnlabelledNumbers([[p, p] for p in composed.pictures], composed.forms)
    with pytest.raises(DataError, match="0 of 24 numbers are read surely"):
        adapt.adapt(
            NumberNet(TINY, classes).eval(),
            pages,
            rehearse=lambda count, seed: (strings.Lines(composed.pictures), strings.encode(composed.labels)),
            check=(strings.Lines(composed.pictures), composed.labels),
            calibration={},
        )


def test_a_study_reads_no_digit_where_a_network_sees_a_mark_or_nothing(composed: finetune.Numbers) -> None:
    net = NumberNet(TINY, 18).eval()
    with torch.no_grad():
        net.head.weight.zero_()
        for seen in (12, 17):
            net.head.bias.copy_(torch.eye(18)[seen] * 50)
            assert set(work.readings(net, strings.Lines(composed.pictures))) == {""}
