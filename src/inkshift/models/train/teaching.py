"""From a package of the number recogniser and a user's own numbers to a package that reads them better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from inkshift.datasets.synth import strings
from inkshift.models.package import GRAPH, Model, Source, save_package
from inkshift.models.train import rehearsal
from inkshift.models.train.adapt import Round, UnlabelledNumbers, adapt, agreement
from inkshift.models.train.eight_bits import CALIBRATED_BY, in_eight_bits, share_read, steps_in
from inkshift.models.train.finetune import (
    FineTuneEpoch,
    FineTuneSettings,
    Numbers,
    fine_tune,
    go_back,
    judge,
    net_of,
    split_by_form,
)
from inkshift.models.train.networks import NumberNet, line_graph_bytes, weights_bytes

_HELD_OUT = 0.2
# Composed numbers that scores are told on, and others that weights are chosen by.
_CHECKED, _CHOSEN_BY = 400, 800


@dataclass(frozen=True, slots=True)
class TeachingResult:
    """A model taught on labels. learned, held_out: how many numbers; forms: how many of them were held out. own,
    composed: share, 0 to 1, of numbers read right by one view, before and after: the user's own held out, and composed
    ones (the old task). way: how far its weights went from the old ones (0) to those that the own numbers alone ask for
    (1)."""

    model: Model
    learned: int
    held_out: int
    forms: int
    own: tuple[float, float]
    composed: tuple[float, float]
    way: float
    note: str


@dataclass(frozen=True, slots=True)
class AdaptationResult:
    """A model adapted to numbers nobody labelled. rounds: that were kept; agreement, composed: mean probability of the
    readings, and share of composed numbers (the old task) read right by one view, 0 to 1, before and after."""

    model: Model
    rounds: int
    agreement: tuple[float, float]
    composed: tuple[float, float]
    note: str


def teach(
    base: Model,
    numbers: Numbers,
    folder: Path,
    *,
    shown: int = 1,
    settings: FineTuneSettings | None = None,
    checkpoint: Path | None = None,
    report: Callable[[FineTuneEpoch], None] = lambda epoch: None,
) -> TeachingResult:
    """Fine-tune `base` on labelled numbers, a fifth of the forms held out to stop by, and write the package `folder`.

    Its weights lie between the old and the fine-tuned ones (WiSE-FT: Wortsman et al. 2022), which forget much less for
    what they gain: of those that read at most one composed number in a hundred fewer, the best on the forms held out.

    shown: how many of the pictures show each number. checkpoint: file from which a run that was killed goes on. Raises
    DataError for numbers of one form alone, ModelError for a package that reads no numbers.
    """
    net, memory = net_of(base), rehearsal.load()
    settings = settings or FineTuneSettings()
    learn, held_out = split_by_form(numbers, _HELD_OUT, settings.seed)
    learned, held = len(learn) // shown, len(held_out) // shown
    check, chosen_by = _checks(memory)
    held_lines = strings.Lines(held_out.pictures)

    def score(graph: bytes) -> tuple[float, float]:
        return share_read(graph, held_lines, held_out.labels), share_read(graph, *check)

    before = score((base.folder / GRAPH).read_bytes())
    old = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fine_tune(net, learn, held_out, settings, rehearse=memory.compose, checkpoint=checkpoint, report=report)
    way = go_back(
        net,
        old,
        own=lambda: judge(net, held_lines, held_out.labels)[0],
        composed=lambda: judge(net, *chosen_by)[1],
    )
    graph = _graph_of(net, memory)
    own, composed = zip(before, score(graph), strict=True)
    source = Source(name="own labelled numbers", images=learned, licence="the user's", cite="model train --from")
    facts: dict[str, Any] = {
        f"own numbers held out ({held}), before and after": _pair(*own),
        f"composed numbers ({_CHECKED}, one view), before and after": _pair(*composed),
        "weights, from the old (0) to the fine-tuned (1)": way,
    }
    model = _save(
        net,
        graph,
        base,
        folder,
        source,
        facts,
        f"fine-tuned on {learned} own numbers, {held} more held out to stop by",
    )
    return TeachingResult(model, learned, held, len(set(held_out.forms)), own, composed, way, memory.note)


def adapt_to(
    base: Model,
    pages: UnlabelledNumbers,
    folder: Path,
    *,
    rounds: int = 3,
    report: Callable[[Round], None] = lambda found: None,
) -> AdaptationResult:
    """Adapt `base` to numbers that nobody labelled and write the package `folder`; see `models.train.adapt`."""
    net, memory = net_of(base), rehearsal.load()
    check, chosen_by = _checks(memory)
    calibration = base.manifest.calibration

    def score(graph: bytes) -> tuple[float, float]:
        return agreement(partial(steps_in, graph), pages, calibration), share_read(graph, *check)

    history = adapt(
        net, pages, rehearse=memory.compose, check=chosen_by, calibration=calibration, rounds=rounds, report=report
    )
    graph = _graph_of(net, memory)
    before = score((base.folder / GRAPH).read_bytes())  # not sooner: adapting may refuse
    agreed, composed = zip(before, score(graph), strict=True)
    kept = sum(found.kept for found in history) - 1
    source = Source(
        name="own numbers, unlabelled", images=len(pages.views), licence="the user's", cite="inkshift model adapt"
    )
    facts: dict[str, Any] = {
        "agreement on the own numbers, before and after": _pair(*agreed),
        f"composed numbers ({_CHECKED}, one view), before and after": _pair(*composed),
    }
    model = _save(net, graph, base, folder, source, facts, f"adapted in {kept} rounds")
    return AdaptationResult(model, kept, agreed, composed, memory.note)


_Check = tuple[strings.Lines, list[str]]


def _checks(memory: rehearsal.Memory) -> tuple[_Check, _Check]:
    """Composed numbers that scores are told on, and others that weights are chosen by."""
    lines, labels = memory.check(_CHECKED + _CHOSEN_BY)
    told, chosen_by = strings.Lines(lines.pictures[:_CHECKED]), strings.Lines(lines.pictures[_CHECKED:])
    return (told, labels[:_CHECKED]), (chosen_by, labels[_CHECKED:])


def _graph_of(net: NumberNet, memory: rehearsal.Memory) -> bytes:
    """What ships of a network."""
    return in_eight_bits(line_graph_bytes(net), memory.compose(CALIBRATED_BY, 0, marked=True)[0])


def _pair(before: float, after: float) -> str:
    return f"{before:.4f}, {after:.4f}"


def _save(
    net: NumberNet,
    graph: bytes,
    base: Model,
    folder: Path,
    source: Source,
    scores: dict[str, Any],
    how: str,
) -> Model:
    old = base.manifest
    manifest = old.model_copy(
        update={
            "name": folder.name,
            "summary": f"{old.name}, {how}. {old.summary}",
            "sources": (*old.sources, source),
            "training": old.training | {how: date.today().isoformat()},
            "scores": scores,
            "digests": {},
        }
    )
    return save_package(folder, manifest, weights_bytes(net), graph)
