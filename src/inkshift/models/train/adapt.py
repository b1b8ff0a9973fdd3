"""A number recogniser taught on pages that nobody labelled: by what it reads there and can trust (self-training).

Each round reads every number several ways, takes as labels the readings that the views agree on (and the second
reader, where there is one), and fine-tunes on them beside composed numbers (Scudder 1965; agreement of views: Yarowsky
1995). It ends when agreement no longer grows, or when the score on composed numbers falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.datasets.synth import strings
from inkshift.errors import DataError
from inkshift.models import ctc
from inkshift.models.train.finetune import Compose, FineTuneSettings, Numbers, fine_tune, judge, split_by_form, steps_of
from inkshift.models.train.networks import NumberNet
from inkshift.models.weigh import weigh

# Least share of views that read the same digits, and least probability of them, for a reading to become a label.
AGREE, SURE = 0.8, 0.9
# Fewest labels a round learns from, and what may be lost on composed numbers (a share of 1): chance alone moves the
# score of a few hundred of them by this much.
FEWEST, MAY_LOSE = 20, 0.02
# A round must raise the mean agreement by this much to be kept.
GROWTH = 0.002

# What a network (`finetune.steps_of`) or a graph (`eight_bits.steps_in`) makes of pictures.
_Steps = Callable[[strings.Lines], Iterator[tuple[int, npt.NDArray[np.float32]]]]


@dataclass(frozen=True, slots=True)
class UnlabelledNumbers:
    """Numbers nobody labelled. views: of each number (H, W) uint8 framed pictures, as many of each; forms: where each
    is from; second: probabilities (T, 11) of a second reader for each number, or None."""

    views: Sequence[Sequence[Gray]]
    forms: Sequence[str]
    second: Sequence[ctc.LineProbabilities] | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One round, 0 before any. agreement: mean probability of the readings, 0 to 1; labels: readings that are sure;
    source: share of composed numbers read right. kept: whether the model went on from it."""

    round: int
    agreement: float
    labels: int
    source: float
    kept: bool


def adapt(
    net: NumberNet,
    pages: UnlabelledNumbers,
    *,
    rehearse: Compose,
    check: tuple[strings.Lines, Sequence[str]],
    calibration: dict[str, float],
    rounds: int = 3,
    report: Callable[[Round], None] = lambda found: None,
) -> list[Round]:
    """Adapt `net` in place; it keeps the weights of the last round that was kept.

    check: composed numbers and their digits that nothing is learned from. Raises DataError where too few readings are
    sure to begin with.
    """
    steps = partial(steps_of, net)
    readings = _read(steps, pages, calibration)
    history = [Round(0, _agreement(readings), len(_sure(readings)), judge(net, *check)[1], True)]
    report(history[0])
    if history[0].labels < FEWEST:
        raise DataError(
            f"adapting: {history[0].labels} of {len(pages.views)} numbers are read surely, at least {FEWEST} are "
            "needed; give more pages, or label some and use model train --from"
        )
    for number in range(1, rounds + 1):
        sure = _sure(readings)
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        numbers = Numbers(
            [pages.views[i][k] for i in sure for k in range(2)],
            [readings[i][0] for i in sure for _ in range(2)],
            [pages.forms[i] for i in sure for _ in range(2)],
        )
        learn, held_out = split_by_form(numbers, 0.15, number)
        fine_tune(net, learn, held_out, FineTuneSettings(epochs=6, patience=3, seed=number), rehearse=rehearse)
        fresh = _read(steps, pages, calibration)
        found = Round(number, _agreement(fresh), len(_sure(fresh)), judge(net, *check)[1], True)
        grown = found.agreement >= history[-1].agreement + GROWTH
        holds = found.source >= history[0].source - MAY_LOSE
        history.append(replace(found, kept=grown and holds))
        report(history[-1])
        if not history[-1].kept:
            net.load_state_dict(before)
            break
        readings = fresh
    return history


def agreement(steps: _Steps, pages: UnlabelledNumbers, calibration: dict[str, float]) -> float:
    """Mean probability of the readings, 0 to 1."""
    return _agreement(_read(steps, pages, calibration))


_Reading = tuple[str, float, bool]


def _read(steps_by: _Steps, pages: UnlabelledNumbers, calibration: dict[str, float]) -> list[_Reading]:
    """Each number's likeliest text, its probability, and whether views and second reader agree on it."""
    flat = [view for views in pages.views for view in views]
    lines = strings.Lines(flat)
    steps = {i: ctc.fold(found[: -(-int(lines.widths[i]) // ctc.STRIDE)]) for i, found in steps_by(lines)}
    each = len(flat) // len(pages.views)
    out = []
    for i in range(len(pages.views)):
        seen = [steps[k] for k in range(i * each, (i + 1) * each)]
        others = [pages.second[i]] if pages.second else []
        (texts,) = weigh([seen], [others], calibration=calibration)
        text, share = next(iter(texts.items()))
        votes = [ctc.collapse(view.argmax(1)) == text for view in seen]
        second = all(ctc.collapse(view.argmax(1)) == text for view in others)
        out.append((text, share, float(np.mean(votes)) >= AGREE and second))
    return out


def _sure(readings: Sequence[_Reading]) -> list[int]:
    return [i for i, (text, share, agreed) in enumerate(readings) if text and agreed and share >= SURE]


def _agreement(readings: Sequence[_Reading]) -> float:
    return float(np.mean([share for _, share, _ in readings]))
