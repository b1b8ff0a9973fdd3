"""Should I transfer, from what, how deep, frozen or fine-tuned, and how many labels do I need? Measured in minutes.

The labelled images are dealt into folds: each is held out once, the others learned from, by small nested numbers of
labels. Each way of learning is then a curve of errors over labels, e = a n^-c (Hestness et al. 2017), which says what
to expect of all labels and of more. Intervals come of the Bayesian bootstrap (Rubin 1981) over writers, or images where
writers are not known, with Jeffreys' half of an error and half of a right image beside what was seen: images that
count alike have Jeffreys' interval of a share, so none wrong is not taken for never wrong. Few writers say little of
others: what is drawn is spread as Student's t asks of so many.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from inkshift.arrays import Floats
from inkshift.datasets import catalog
from inkshift.datasets.catalog import CATALOG
from inkshift.datasets.formats import LabelledImages
from inkshift.datasets.tasks import Task, nested
from inkshift.errors import DataError
from inkshift.models.package import WEIGHTS, Manifest, Model, Source, load_model, save_package
from inkshift.models.train import loop
from inkshift.models.train.networks import CONVNET, final_layer, graph_bytes, trunk, weights_bytes
from inkshift.reframe import parse
from inkshift.studies import stats, transferability
from inkshift.studies.characters import regimes
from inkshift.studies.characters.plan import Run
from inkshift.studies.engine import replicate_seed
from inkshift.studies.spec import Protocol, Regime
from inkshift.studies.stats import Counts, Interval, Verdict

Tell = Callable[[str], object]

PARTS = (0.3, 1.0)  # of the other labels, that a curve is drawn from
MOST = 1500  # labels that are measured with, so that it stays a matter of minutes
FEWEST = 80  # labels: below that a score means nothing
FEWEST_WRITERS = 4  # below that they say nothing of others
REDRAWN = 100  # deals of writers that are tried before images are dealt
DRAWS = 2000
MARGIN = 0.01  # of the share read right: what counts as alike
FARTHEST = 30  # times the labels there are: beyond, a curve says nothing
_ORDER: tuple[Regime, ...] = ("as-is", "frozen", "fine-tuned", "control")  # from the least to do to the most


@dataclass(frozen=True)
class Strategy:
    """A way to a network: a regime, the package it starts from, and how many of its stages are carried over."""

    regime: Regime
    source: str = ""
    depth: int | None = None

    def __str__(self) -> str:
        deep = "" if self.depth is None else f", first {self.depth} {'stage' if self.depth == 1 else 'stages'}"
        return f"{self.regime}{f' from {self.source}' if self.source else ''}{deep}"


@dataclass(frozen=True, eq=False)
class StrategyTrial:
    """One way, tried. labels: (B,) rising numbers of labels. wrong: (B, R, N) whether an image was misread, in each
    fold; held_out: (R, N) whether it was held out there; groups: (N,) the writer of each image, or its own number.
    flattered: how many times as many errors as measured are to be expected, of a way that was picked for having few.
    """

    way: Strategy
    labels: Counts
    wrong: npt.NDArray[np.bool_]
    held_out: npt.NDArray[np.bool_]
    groups: Counts
    flattered: float = 1.0

    @cached_property
    def right(self) -> Floats:
        """(R,) share read right with the most labels."""
        hits = (~self.wrong[-1] & self.held_out).sum(axis=1)
        return np.asarray(hits / self.held_out.sum(axis=1), np.float64)

    def errors(self, draws: int = DRAWS) -> Floats:
        """(draws, B) share misread: first as measured, then under weights drawn at random, the same for every way of
        the same images."""
        by_group, by_run, jeffreys = _weights(int(self.groups.max()) + 1, len(self.held_out), draws)
        count = len(np.unique(self.groups))
        if count <= 4 * len(self.held_out):
            by_run = np.ones_like(by_run)  # a writer or two to a fold: what a fold adds is in the writers already
        share = self.held_out.astype(np.float64)
        image = by_group[:, self.groups]
        scaled = by_run / by_run.mean(axis=1, keepdims=True)
        wrong = np.stack([(scaled * (image @ (share * one).T)).sum(axis=1) for one in self.wrong], axis=1)
        every = (scaled * (image @ share.T)).sum(axis=1, keepdims=True)
        log_e = np.log((wrong + jeffreys[:, :1]) / (every + jeffreys.sum(axis=1, keepdims=True)))
        # Weights drawn for G writers spread less than a mean of so many does: by (G - 1) / (G + 1), and t by normal.
        special = stats.scipy("special")
        wider = special.stdtrit(count - 1, 0.95) / special.ndtri(0.95) * np.sqrt((count + 1) / (count - 1))
        spread = np.exp(log_e[0] + wider * (log_e - log_e[0]))
        return np.asarray(np.minimum(self.flattered * spread, 1), np.float64)

    @cached_property
    def drawn(self) -> Floats:
        """(DRAWS, B) share misread, as `errors` draws it."""
        return self.errors()

    @cached_property
    def curve(self) -> tuple[Floats, Floats]:
        """(draws,) log a and c of e = a n^-c; more labels are not taken to do harm, so c is 0 or more."""
        log_e = np.log(self.drawn)
        if len(self.labels) == 1 or self.way.regime == "as-is":
            return log_e[:, -1], np.zeros(len(log_e))
        log_n = np.log(self.labels)
        centred = log_n - log_n.mean()
        c = np.maximum(-(log_e @ centred) / (centred @ centred), 0)
        return log_e.mean(axis=1) + c * log_n.mean(), c

    def expected(self, labels: int) -> Interval:
        """Share read right with so many labels, at 90 %."""
        log_a, c = self.curve
        score = np.clip(1 - np.exp(log_a - c * np.log(labels)), 0, 1)
        low, high = np.quantile(score[1:], [0.05, 0.95])
        return Interval(float(score[0]), float(low), float(high), stats.PAIRED, len(self.groups))

    def needed(self, score: float) -> tuple[float, float, float]:
        """Labels that such a share read right takes: by the curve, and from and to at 90 %; infinity for never."""
        log_a, c = self.curve
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            found = np.exp((log_a - np.log(1 - score)) / c)
        found = np.where(c > 0, found, np.where(log_a <= np.log(1 - score), 1, np.inf))
        low, high = np.quantile(found[1:], [0.05, 0.95], method="inverted_cdf")
        return float(found[0]), float(low), float(high)


@lru_cache(maxsize=1)
def _weights(groups: int, runs: int, draws: int) -> tuple[Floats, Floats, Floats]:
    """(draws, groups), (draws, runs) and (draws, 2) weights, each first row that of what was measured."""
    rng = np.random.default_rng(0)
    by_group, by_run = rng.exponential(size=(draws, groups)), rng.exponential(size=(draws, runs))
    jeffreys = rng.gamma(0.5, size=(draws, 2))
    by_group[0], by_run[0], jeffreys[0] = 1, 1, 0.5
    return by_group, by_run, jeffreys


def difference(one: StrategyTrial, other: StrategyTrial) -> tuple[Interval, Interval, Verdict]:
    """`one` minus `other` in the share read right with the most labels: over replicates, over images, the verdict."""
    replicates = stats.t_interval(one.right - other.right, stats.PAIRED, (-1, 1))
    drawn = other.drawn[:, -1] - one.drawn[:, -1]
    images = stats.basic_interval(float(drawn[0]), drawn[1:], stats.PAIRED, (-1, 1))
    return replicates, images, stats.decide_both(replicates, images, MARGIN)


Gain = tuple[StrategyTrial, Interval, Interval, Verdict]


def gain_of(carried: Sequence[StrategyTrial], control: StrategyTrial) -> Gain | None:
    """The best way that starts from a source, and its difference from control; None where none starts from one.

    Many ways are tried on the same images and the best is picked, so a verdict holds for all of them at once (Holm).
    """
    if not carried:
        return None
    differences = [difference(one, control) for one in carried]
    # Of what may be claimed of one way no two can be true, so a way counts once, with its smallest p value.
    values = [
        [stats.claim_values(one, MARGIN) for one in (replicates, images)] for replicates, images, _ in differences
    ]
    smallest = [min(max(one[claim] for one in both) for claim in stats.CLAIMS) for both in values]
    stands = stats.step_down(np.array(smallest), (1 - stats.PAIRED) / 2)
    verdicts: list[Verdict] = [
        alone if ok else "undecided" for ok, (*_, alone) in zip(stands, differences, strict=True)
    ]
    # One that is surely ahead comes before one that only looks better.
    best = max(range(len(carried)), key=lambda i: (verdicts[i] == "ahead", float(carried[i].right.mean())))
    return carried[best], *differences[best][:2], verdicts[best]


@dataclass(frozen=True, eq=False)
class Advice:
    """labels: how many there are, of which `tried` were measured with. grouped: whether whole writers were held out.

    best: the way to take; open: others that are not surely behind it. gain: of the best that starts from a source
    over control, None where nothing starts from one. scores: of each source before training, by name of the score.
    """

    labels: int
    classes: tuple[str, ...]
    grouped: bool
    measured: tuple[StrategyTrial, ...]
    best: StrategyTrial
    open: tuple[StrategyTrial, ...]
    gain: Gain | None
    scores: dict[str, dict[str, float]]
    tried: int

    @property
    def helps(self) -> str:
        """Whether it pays to start from a source: helps, equivalent, hurts or undecided."""
        return stats.HELPS[self.gain[3] if self.gain else "undecided"]


def choose(measured: Sequence[StrategyTrial]) -> tuple[StrategyTrial, tuple[StrategyTrial, ...]]:
    """The way to take, and those not surely behind it: the highest score, or what is alike to it and less to do."""
    top = max(measured, key=lambda one: float(one.right.mean()))
    verdicts = {one.way: difference(one, top)[2] for one in measured if one is not top}
    level = [one for one in measured if one is top or verdicts[one.way] == "alike"]
    best = min(level, key=lambda one: (_ORDER.index(one.way.regime), one.way.depth or 0))
    others = tuple(one for one in measured if one is not best and (one is top or verdicts[one.way] != "behind"))
    return best, others


def corrected(best: StrategyTrial, measured: Sequence[StrategyTrial]) -> StrategyTrial:
    """`best` without what having been picked flatters it by.

    Writers or images are drawn with replacement, and those not drawn say how much worse the way that the drawn ones
    pick reads them than the way that all pick: the bootstrap of cross-validation's bias by Tsamardinos, I., Greasidou,
    E. and Borboudakis, G. (2018), Bootstrapping the out-of-sample predictions for efficient and accurate
    cross-validation, Machine Learning 107, 1895-1922. Where one way is always picked that is nothing.
    """
    count = int(best.groups.max()) + 1
    every = np.bincount(best.groups, best.held_out.sum(axis=0), count)
    wrong = np.stack([np.bincount(one.groups, one.wrong[-1].sum(axis=0), count) for one in measured], axis=1)
    inside = _drawn(count)
    left_out = inside == 0
    some = left_out @ every > 0
    inside, left_out = inside[some], left_out[some]
    outside = left_out @ wrong / (left_out @ every)[:, None]
    picked, top = (inside @ wrong).argmin(axis=1), wrong.sum(axis=0).argmin()
    lost = float((outside[np.arange(len(picked)), picked] - outside[:, top]).mean())
    return replace(best, flattered=1 + max(lost, 0) / float(best.drawn[0, -1]))


@lru_cache(maxsize=1)
def _drawn(count: int) -> Floats:
    """(DRAWS, count) how often each of so many is drawn, with replacement."""
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)


def protocol(source: Model | None = None, depth: int | None = None) -> Protocol:
    """How every way learns: twenty passes over the labels, of 256 images at least."""
    reframing = source.manifest.reframing if source else load_model("digits").manifest.reframing
    backbone = source.manifest.architecture if source else CONVNET
    return Protocol(
        backbone=backbone,
        reframing=reframing,
        epochs=20,
        least=256,
        batch=32,
        stop="never",
        precision="float32",
        depth=depth,
    )


def advise(
    data: LabelledImages,
    sources: Sequence[Model],
    *,
    replicates: int = 5,
    seed: int = 0,
    tell: Tell = lambda text: None,
) -> Advice:
    """Try every way on labelled images. Raises DataError for too few, or labels that are no single characters."""
    classes = tuple(sorted(set(data.labels.tolist())))
    rows = _usable(data, classes)
    labels = np.searchsorted(classes, data.labels[rows])
    writers = None if data.writers is None else np.unique(data.writers[rows], return_inverse=True)[1].astype(np.int64)
    grouped, deals = _deals(labels, writers, replicates, replicate_seed(seed, "advice", 0))
    groups = writers if writers is not None and grouped else np.arange(len(rows))
    names = [model.manifest.name for model in sources]
    pictures: dict[str, npt.NDArray[np.uint8]] = {}

    def framed(model: Model | None) -> npt.NDArray[np.uint8]:
        reframing = protocol(model).reframing
        if reframing not in pictures:
            pictures[reframing] = np.stack([parse(reframing)(data.images[int(row)]) for row in rows])
        return pictures[reframing]

    by_name = dict(zip(names, sources, strict=True))

    def tried(way: Strategy) -> StrategyTrial:
        tell(f"trying {way}")
        model = by_name.get(way.source)
        return _measure(way, model, classes, framed(model), labels, groups, deals, seed)

    control = tried(Strategy("control"))
    done = [control]
    for name, model in by_name.items():
        known = set(classes) <= set(model.manifest.classes)
        done += [tried(Strategy(regime, name)) for regime in _ORDER[:2] if known or regime == "frozen"]
    if names:
        # All weights learn from the source whose frozen features serve best alone: it takes a hundred times longer.
        frozen = [one for one in done if one.way.regime == "frozen"]
        name = max(frozen, key=lambda one: float(one.right.mean())).way.source
        done += [tried(Strategy("fine-tuned", name)), tried(Strategy("frozen", name, 1))]
    best, others = choose(done)
    best = corrected(best, done)
    gain = gain_of([one for one in done if one.way.source], control)
    scores = {name: _scores(model, framed(model), labels, classes) for name, model in by_name.items()}
    shown = tuple(best if one.way == best.way else one for one in done)
    return Advice(len(data.labels), classes, grouped, shown, best, others, gain, scores, len(rows))


def _usable(data: LabelledImages, classes: tuple[str, ...]) -> Counts:
    """The rows that are measured with, at most `MOST`."""
    long = [label for label in classes if len(label) != 1]
    if long and all(label.isascii() and label.isdigit() for label in classes):
        table = shlex.quote(data.name) if data.name.lower().endswith(".csv") else "numbers.csv"
        raise DataError(
            f"{data.name}: holds whole numbers, such as {long[0]!r}, and this advice is of single characters; whether "
            f"teaching pays, and how many labels it takes: inkshift study new study.toml --target {table}"
        )
    if long or len(classes) < 2:
        found = repr(long[0]) if long else f"{len(classes)} class"
        raise DataError(
            f"{data.name}: expected single characters of two classes or more, found {found}; give such a set"
        )
    index = np.searchsorted(classes, data.labels)
    least = int(np.bincount(index).min())
    if len(index) < FEWEST or least < 3:
        raise DataError(
            f"{data.name}: expected {FEWEST} labelled images or more, 3 or more of each class, "
            f"found {len(index)}, {least} of the rarest; label more"
        )
    return np.sort(_some(index, MOST, 3))


def _some(labels: Counts, most: int, fewest: int) -> Counts:
    """At most `most` rows, each class in its share, but `fewest` of each where there are so many."""
    order = nested(labels, np.random.default_rng(0))
    of_class = np.argsort(labels[order], kind="stable")
    sizes = np.bincount(labels)
    place = np.empty_like(order)  # of each row in the order of its class
    place[of_class] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = place < fewest
    return np.concatenate([order[first], order[~first]])[: max(most, int(first.sum()))]


Deal = tuple[Counts, npt.NDArray[np.bool_]]


def _deals(labels: Counts, writers: Counts | None, folds: int, seed: int) -> tuple[bool, list[Deal]]:
    """Whether whole writers are held out, and for each fold the rows to learn from, in nested order, and which are held
    out: each image once. Images are dealt where writers are few or unknown, or the others never show every class.
    """
    rng = np.random.default_rng(seed)
    fold_of = _whole_writers(labels, writers, folds, rng) if writers is not None else None
    grouped = fold_of is not None
    if fold_of is None:
        fold_of = np.empty(len(labels), np.int64)
        # Class by class, so that two images of one never share a fold while another has none.
        fold_of[np.lexsort((rng.permutation(len(labels)), labels))] = np.arange(len(labels)) % folds
    found = []
    for fold in np.unique(fold_of):
        rows = np.flatnonzero(fold_of != fold)
        found.append((rows[nested(labels[rows], rng)], fold_of == fold))
    return grouped, found


def _whole_writers(labels: Counts, writers: Counts, folds: int, rng: np.random.Generator) -> Counts | None:
    """The fold of each image, whole writers in each, drawn again until every class is left to learn from; or None."""
    count = int(writers.max()) + 1
    for _ in range(REDRAWN if count >= FEWEST_WRITERS else 0):
        fold_of = np.asarray(rng.permutation(count)[writers] % folds, np.int64)
        if all(len(np.unique(labels[fold_of != fold])) > labels.max() for fold in np.unique(fold_of)):
            return fold_of
    return None


def _run(way: Strategy, model: Model | None, classes: tuple[str, ...], seed: int) -> Run:
    task = Task(data="advice", labels=classes)
    return Run(
        role="target",
        regime=way.regime,
        task=task,
        replicate=0,
        seed=seed,
        sample_seed=seed,
        protocol=protocol(model, way.depth),
        source=way.source or None,
    )


def learn(
    way: Strategy,
    model: Model | None,
    classes: tuple[str, ...],
    images: npt.NDArray[np.uint8],
    labels: Counts,
    seed: int,
) -> nn.Module:
    """A network of `classes` that learned from these images, framed for it, and their labels, in one of the ways."""
    run = _run(way, model, classes, seed)
    net = regimes.network(run, model.folder / WEIGHTS if model else None)
    rows = np.resize(np.arange(len(labels)), max(len(labels), run.protocol.least))
    if run.batched:
        _learn_head(net, features_of(net, images, run)[rows], labels[rows], run)
        return net
    loop.train(net, lambda epoch: (images[rows], labels[rows]), regimes.settings(run), mode=regimes.learning_mode(run))
    return net


def features_of(net: nn.Module, images: npt.NDArray[np.uint8], run: Run) -> torch.Tensor:
    """(N, d) what a frozen network makes of pictures before its final layer."""
    net.eval()
    with torch.inference_mode():
        found = [
            loop.forward(trunk(net), part, regimes.settings(run))
            for part in np.array_split(images, len(images) // 500 + 1)
        ]
    return torch.cat(found).clone()


def _learn_head(net: nn.Module, features: torch.Tensor, labels: Counts, run: Run) -> None:
    """The final layer alone, on features that never change, as `studies.characters.frozen` does."""
    layer, true = final_layer(net), torch.from_numpy(labels)
    order = torch.Generator().manual_seed(run.seed)
    optimiser = torch.optim.Adam(layer.parameters(), lr=run.protocol.rate)
    for _ in range(run.protocol.epochs):
        for some in torch.split(torch.randperm(len(true), generator=order), run.protocol.batch):
            optimiser.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(layer(features[some]), true[some]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    net.eval()


def read_as_is(model: Model, classes: tuple[str, ...], images: npt.NDArray[np.uint8]) -> Counts:
    """(N,) what a package reads, among the classes given."""
    known = model.manifest.classes
    run = _run(Strategy("as-is", model.manifest.name), model, classes, 0)
    net = regimes.network(run, model.folder / WEIGHTS, len(known))
    logits = loop.predict(net, images, settings=regimes.settings(run))
    return np.asarray(logits[:, [known.index(label) for label in classes]].argmax(axis=1), np.int64)


def _measure(
    way: Strategy,
    model: Model | None,
    classes: tuple[str, ...],
    images: npt.NDArray[np.uint8],
    labels: Counts,
    groups: Counts,
    deals: Sequence[Deal],
    seed: int,
) -> StrategyTrial:
    held = np.stack([one for _, one in deals])
    least = min(len(rows) for rows, _ in deals)
    # Of a part of the stages only the end of the curve, which is then level.
    parts = PARTS if way.depth is None else PARTS[-1:]
    budgets = np.unique([max(len(classes), round(part * least)) for part in parts])
    if way.regime == "as-is":
        assert model is not None
        wrong = np.broadcast_to(read_as_is(model, classes, images) != labels, (len(budgets), *held.shape))
        return StrategyTrial(way, budgets, wrong & held, held, groups)
    wrong = np.zeros((len(budgets), *held.shape), bool)
    for r, (rows, out) in enumerate(deals):
        for b, budget in enumerate(budgets):
            some = rows[:budget]
            net = learn(way, model, classes, images[some], labels[some], replicate_seed(seed, "target", r))
            read = loop.predict(net, images[out]).argmax(axis=1)
            wrong[b, r, out] = read != labels[out]
    return StrategyTrial(way, budgets, wrong, held, groups)


def _scores(model: Model, images: npt.NDArray[np.uint8], labels: Counts, classes: tuple[str, ...]) -> dict[str, float]:
    """What the features of a source say of the target before anything learns, on 500 images or little more."""
    some = _some(labels, 500, 2)  # the probe learns from one of a class and is tested on another
    run = _run(Strategy("as-is", model.manifest.name), model, classes, 0)
    net = regimes.network(run, model.folder / WEIGHTS, len(model.manifest.classes)).eval()
    with torch.inference_mode():
        body = loop.forward(trunk(net), images[some], regimes.settings(run))
        odds = final_layer(net)(body).softmax(dim=1).numpy().astype(np.float64)
    features, known = body.numpy().astype(np.float64), labels[some]
    learned = _learned_from(model)
    domain = {}
    if learned is not None:
        with torch.inference_mode():
            theirs = loop.forward(trunk(net), learned, regimes.settings(run)).numpy().astype(np.float64)
        domain = {"p of one domain": transferability.same_domain(features[: len(theirs)], theirs)}
    return domain | {
        "linear probe": transferability.probe(features, known),
        "LogME": transferability.logme(features, known),
        "LEEP": transferability.leep(known, odds),
        "NCE": transferability.nce(known, odds.argmax(axis=1)),
        "H-score": transferability.h_score(features, known),
        "PARC": transferability.parc(features, known),
    }


def _learned_from(model: Model) -> npt.NDArray[np.uint8] | None:
    """Images that a source learned from, 200 at random, framed for it; None where its data sets are not here."""
    named = [source.name.split()[0] for source in model.manifest.sources]
    for name in [one for one in named if one in CATALOG and "train" in CATALOG[one].splits]:
        try:
            images = catalog.load(name, "train").images
        except DataError:
            continue
        rows = np.random.default_rng(0).integers(0, len(images), 200)
        return np.stack([parse(model.manifest.reframing)(images[int(row)]) for row in rows])
    return None


def train(advice_way: Strategy, sources: Sequence[Model], data: LabelledImages, folder: Path) -> Model:
    """Train one way on all labelled images, and pack it for the reader."""
    classes = tuple(sorted(set(data.labels.tolist())))
    model = next((one for one in sources if one.manifest.name == advice_way.source), None)
    how = protocol(model, advice_way.depth)
    images = np.stack([parse(how.reframing)(image) for image in data.images])
    labels = np.asarray(np.searchsorted(classes, data.labels), np.int64)
    net = learn(advice_way, model, classes, images, labels, 0).cpu()
    own = Source(name=data.name, images=len(labels), licence="your own data", cite="")
    manifest = Manifest(
        name=folder.name,
        summary=f"Characters of {data.name}: {advice_way}, {len(labels):,} labels.",
        architecture=how.backbone,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        classes=classes,
        reframing=how.reframing,
        sources=(*(model.manifest.sources if model else ()), own),
        training={"regime": advice_way.regime, "source": advice_way.source, "seed": 0} | how.stored(),
        licence="not to be passed on: trained on your own data",
    )
    return save_package(folder, manifest, weights_bytes(net), graph_bytes(net, how.side, how.channels))
