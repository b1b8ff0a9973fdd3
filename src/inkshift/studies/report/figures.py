"""The paper's figures 2 to 6 for any study, with losses and confusion matrices; SVG and PNG.

Nothing rests on colour: each regime has its marker and line style, and its name stands beside its line. The same
study gives the same file, byte for byte, with the same matplotlib.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from inkshift.arrays import Floats
from inkshift.studies.report.compare import epoch_row
from inkshift.studies.report.results import Arm, LearningCurve, Results, Set
from inkshift.studies.stats import PAIRED, SHARE, t_interval

PictureKind = Literal["f1", "frozen", "per-class", "losses", "confusion", "budget"]
Style = tuple[str, str, str]  # colour, marker, line
INK, SOFT, LINE = "#1f2933", "#52606d", "#cbd2d9"
STYLES: dict[str, Style] = {
    "control": (INK, "o", "-"),
    "fine-tuned": ("#2f6db3", "^", "--"),
    "frozen": ("#b45309", "s", "-."),
    "as-is": ("#7b3fa0", "D", ":"),
}
SPARE = [*STYLES.values(), ("#0f766e", "v", "-"), ("#a61b1b", "P", "--")]
RC: dict[Any, Any] = {
    "svg.hashsalt": "inkshift",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "axes.labelcolor": INK,
}
MOST_COUNTS = 20  # classes up to which a confusion matrix shows its numbers


@dataclass(frozen=True)
class ReportFigure:
    """A figure under its file name without ending. alt: what it shows, in words; kind and set: where it belongs."""

    name: str
    kind: PictureKind
    set: str
    alt: str
    svg: bytes
    png: bytes


def pictures(results: Results, slugs: Sequence[str]) -> Iterator[ReportFigure]:
    """Every figure that the finished runs allow. slugs: a file name for each set, in order."""
    shared = _range(results)
    with matplotlib.rc_context(RC):
        for study_set, slug in zip(results.sets, slugs, strict=True):
            arms = [arm for arm in study_set.arms if arm.replicates]
            if not arms:
                continue
            make = partial(picture, study_set=study_set.name)
            name = study_set.name
            steps = {results.steps_of(study_set, arm) for arm in arms if arm.regime != "as-is"}
            each = steps.pop() if len(steps) == 1 else None
            alt = f"{name}: F1 on the test images by epoch"
            yield make(f"f1-{slug}", "f1", alt, f1_by_epoch(study_set, arms, shared, each))
            if len({label for _, label in labels_of(results, study_set)}) > 1:
                alt = f"{name}: F1 by number of labels, a line for each regime"
                yield make(f"labels-{slug}", "budget", alt, f1_by_labels(results, study_set))
            yield make(
                f"per-class-{slug}",
                "per-class",
                f"{name}: accuracy of each class after the first and the last epoch",
                per_class(study_set, arms),
            )
            learning = [arm for arm in arms if len(arm.curve("training_loss").epochs)]
            if learning:
                yield make(f"losses-{slug}", "losses", f"{name}: losses by epoch", losses(study_set, learning))
            for i, arm in enumerate(arms, 1):
                alt = f"{name}, {arm.name}: share of each class read as each other, last epoch"
                yield make(f"confusion-{slug}-{i}-{arm.regime}", "confusion", alt, confusion(study_set, arm))
        frozen = [(s.name, arm) for s, arm in results.arms if arm.regime == "frozen" and arm.replicates]
        if frozen:
            yield picture("frozen", "frozen", "Frozen runs of all sets: F1 by epoch", frozen_by_epoch(frozen), "")


def _range(results: Results) -> tuple[float, float]:
    """From the lowest to the highest F1 of any run, for plots that are read side by side."""
    every = [run.f1 for *_, run in results.runs]
    low, high = (min(map(np.min, every)), max(map(np.max, every))) if every else (0.0, 1.0)
    room = 0.05 * max(high - low, 0.02)
    return float(low - room), float(high + room)


def f1_by_epoch(
    study_set: Set, arms: Sequence[Arm], shared: tuple[float, float] | None = None, steps: int | None = None
) -> Figure:
    """Figures 2, 3, 5: the mean over replicates; the band from the lowest to the highest.

    Where control and fine-tuned lie close together and others far from them, a second plot shows these two alone.
    shared: the range of F1 of all sets of the study. steps: of the optimiser in an epoch, shown above the plot. Arms
    that run for fewer epochs than others say so, and end at a thin line.
    """
    pair = [arm for arm in arms if arm.regime in ("control", "fine-tuned")]
    closer = 1 < len(pair) < len(arms)
    figure, panels = canvas(9.6 if closer else 6.4, 3.9, 1 + closer, study_set.name)
    for axes, shown in zip(panels, (arms, pair), strict=False):
        drawn = [(arm.name, _style(arm, shown), arm.curve("f1")) for arm in shown]
        _curves(axes, drawn, shared if shown is arms else None)
        axes.set(xlabel="epoch", ylabel="F1")
        if steps:
            scaled = partial(np.multiply, steps), partial(np.multiply, 1 / steps)
            above = axes.secondary_xaxis("top", functions=scaled)
            above.set_xlabel("steps", fontsize=8, color=SOFT)
            above.tick_params(labelsize=7.5)
            above.spines["top"].set_color(LINE)
    if closer:
        panels[0].set_title("all regimes, scaled as every set", loc="left", fontsize=9, color=SOFT)
        panels[1].set_title(f"{' and '.join(arm.name for arm in pair)}, closer", loc="left", fontsize=9, color=SOFT)
    return figure


def labels_of(results: Results, study_set: Set) -> list[tuple[Arm, int | None]]:
    """The arms of a set that learn and have a finished run, with the labels that each learns from: None is all."""
    arms = [arm for arm in study_set.arms if arm.replicates and arm.regime != "as-is"]
    return [(arm, results.settings_of(study_set, arm).get("labels")) for arm in arms]


def f1_by_labels(results: Results, study_set: Set) -> Figure:
    """F1 by labels on a scale of doublings, `all` at the end: mean and 90 % interval over replicates, at the epoch that
    validation images chose, else the last. as-is, which learns from none, is a level line."""
    figure, (axes,) = canvas(6.4, 3.9, 1, study_set.name)
    learned = labels_of(results, study_set)
    place = {label: float(np.log2(label)) for label in sorted({label for _, label in learned if label})}
    ticks = {f"{label:,}": x for label, x in place.items()}
    if any(label is None for _, label in learned):
        ticks["all"] = max(place.values()) + 1
    ends: list[tuple[float, float, str, Style]] = []
    for regime in dict.fromkeys(arm.regime for arm, _ in learned):
        style = STYLES.get(regime, SPARE[4])
        points = [(ticks[f"{label:,}" if label else "all"], arm) for arm, label in learned if arm.regime == regime]
        ends.append(_by_labels(axes, regime, style, sorted(points, key=lambda one: one[0])))
    last = max(ticks.values())
    for arm in study_set.arms:
        if arm.regime == "as-is" and arm.replicates:
            f1 = float(np.mean([run.f1[-1] for run in arm.distinct]))
            axes.axhline(f1, ls=STYLES["as-is"][2], color=STYLES["as-is"][0], lw=1.5)
            ends.append((f1, last, arm.name, STYLES["as-is"]))
    axes.set_xticks(list(ticks.values()), list(ticks))
    axes.set(xlabel="labels", ylabel="F1")
    axes.grid(axis="y", color="#e4e7eb", lw=0.6)
    axes.set_xlim(min(ticks.values()) - 0.3, last + 0.2)
    end_labels(axes, ends, last)
    return figure


def _by_labels(
    axes: Axes, regime: str, style: Style, points: Sequence[tuple[float, Arm]]
) -> tuple[float, float, str, Style]:
    """Draw one regime; its end: height, place, name, style."""
    colour, marker, line = style
    found = []
    for _, arm in points:
        rows = [(run, epoch_row(run, "chosen epoch")) for run in arm.distinct]
        found.append(t_interval([run.f1[-1 if row is None else row] for run, row in rows], PAIRED, SHARE))
    x, mean = [at for at, _ in points], [one.mean for one in found]
    for at, one in zip(x, found, strict=True):
        if one.low is not None and one.high is not None:
            axes.vlines(at, one.low, one.high, color=colour, lw=1.1, alpha=0.6)
    axes.plot(x, mean, line, marker=marker, color=colour, lw=1.5, ms=5)
    return mean[-1], x[-1], regime, style


def frozen_by_epoch(arms: Sequence[tuple[str, Arm]]) -> Figure:
    """Figure 6: the frozen arms of all sets."""
    figure, (axes,) = canvas(8.4, 4.2, 1, "Frozen, all sets")
    names = [name for name, _ in arms]
    drawn = [
        (name if names.count(name) == 1 else f"{name}, {arm.name}", SPARE[i % len(SPARE)], arm.curve("f1"))
        for i, (name, arm) in enumerate(arms)
    ]
    _curves(axes, drawn)
    axes.set(xlabel="epoch", ylabel="F1")
    return figure


def per_class(study_set: Set, arms: Sequence[Arm]) -> Figure:
    """Figure 4: mean accuracy of each class after the first and the last epoch of each run; a plot for each arm."""
    classes = arms[0].classes
    width = min(max(6.0, 1.2 + 0.2 * len(classes)), 13.0)
    figure, panels = canvas(width, 0.8 + 1.4 * len(arms), len(arms), study_set.name, rows=True)
    for axes, arm in zip(panels, arms, strict=True):
        table = np.stack([run.per_class()[[0, -1]] for run in arm.distinct]).mean(axis=0)
        x = np.arange(len(arm.classes))
        axes.vlines(x, table.min(axis=0), table.max(axis=0), color=LINE, lw=1.2, zorder=1)
        axes.plot(x, table[0], "o", mfc="white", mec=INK, ms=4.2, mew=0.9, label="first epoch", zorder=3)
        axes.plot(x, table[1], "_", color=STYLES["fine-tuned"][0], ms=7, mew=2.4, label="last epoch", zorder=2)
        axes.set_ylim(-0.04, 1.04)
        axes.set_xlim(-0.7, len(x) - 0.3)
        axes.set_xticks(x, arm.classes)
        axes.tick_params(axis="x", length=0, labelsize=8 if len(x) <= 40 else 7)
        axes.set_ylabel("accuracy")
        last = {int(run.epochs[-1]) for run in arm.distinct}
        when = f", epochs 1 and {', '.join(map(str, sorted(last)))}" if 0 not in last else ""
        axes.set_title(f"{arm.name}{when}", loc="left", fontsize=9, color=SOFT)
        axes.grid(axis="y", color="#e4e7eb", lw=0.6)
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2, fontsize=8)
    panels[-1].set_xlabel("class")
    return figure


def losses(study_set: Set, arms: Sequence[Arm]) -> Figure:
    """Mean training, test and validation loss; a plot for each arm, all on one scale."""
    figure, panels = canvas(1.2 + 2.9 * len(arms), 3.1, len(arms), study_set.name, share=True)
    looks = (("training_loss", "training", "x", ":"), ("test_loss", "test", "o", "-"))
    lowest = np.inf
    for axes, arm in zip(panels, arms, strict=True):
        for measure, label, marker, line in (*looks, ("validation_loss", "validation", "^", "--")):
            curve = arm.curve(measure)  # type: ignore[arg-type]
            if len(curve.epochs):
                axes.plot(curve.epochs, curve.mean, line, marker=marker, ms=4, lw=1.2, color=INK, label=label)
                lowest = min(lowest, float(curve.mean.min()))
        axes.set_title(arm.name, loc="left", fontsize=9, color=SOFT)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axes.grid(axis="y", color="#e4e7eb", lw=0.6)
    panels[0].legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("cross-entropy")
    if lowest > 0:
        panels[0].set_yscale("log")
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panels[0].yaxis.set_major_formatter("{x:g}")
        panels[0].yaxis.set_minor_formatter(NullFormatter())
    return figure


def confusion(study_set: Set, arm: Arm) -> Figure:
    """Last epoch, mean over replicates: by row the label, by column the reading; each row adds up to 1."""
    shares = row_shares(arm)
    count = len(arm.classes)
    side = min(max(4.2, 0.115 * count + 1.2), 8.2)
    figure, (axes,) = canvas(side, side + 0.35, 1, study_set.name)
    axes.set_title(arm.name, loc="left", fontsize=9, color=SOFT)
    image = axes.imshow(np.sqrt(shares), cmap="Greys", vmin=0, vmax=1.15, interpolation="nearest")
    scale = figure.colorbar(image, ax=axes, shrink=0.5, aspect=30, pad=0.02, boundaries=np.linspace(0, 1, 101))
    ticks = (0, 0.01, 0.05, 0.2, 0.5, 1)
    scale.set_ticks(np.sqrt(ticks).tolist(), labels=[f"{100 * share:g} %" for share in ticks])
    scale.ax.tick_params(length=2, labelsize=6.5)
    scale.outline.set_visible(False)
    if count <= MOST_COUNTS:
        for (i, j), share in np.ndenumerate(shares):
            if round(100 * share):
                colour = "white" if share > 0.4 else INK
                size = 8 if count <= 12 else 6.5
                label = axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=size)
                label.set_in_layout(False)
    size = 8 if count <= MOST_COUNTS else 5.5
    axes.set_xticks(range(count), arm.classes, fontsize=size)
    axes.set_yticks(range(count), arm.classes, fontsize=size)
    axes.set(xlabel="read as" + (" (numbers: % of the row)" if count <= MOST_COUNTS else ""), ylabel="label")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def row_shares(arm: Arm) -> Floats:
    """(C, C) share of each label's test images read as each class; a row without images is 0."""
    counts = np.stack([run.confusions[-1] for run in arm.distinct]).sum(axis=0)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.float64)


def _style(arm: Arm, arms: Sequence[Arm]) -> Style:
    """The regime's own look; a second arm of the same regime takes a spare one."""
    same = [other for other in arms if other.regime == arm.regime]
    place = same.index(arm)
    return STYLES.get(arm.regime, SPARE[4]) if place == 0 else SPARE[(3 + place) % len(SPARE)]


def _curves(
    axes: Axes, drawn: Sequence[tuple[str, Style, LearningCurve]], shared: tuple[float, float] | None = None
) -> None:
    """Mean and band of each curve, its name at the right end. One value at epoch 0 becomes a level line."""
    last = max([int(curve.epochs[-1]) for _, _, curve in drawn] + [1])
    ends = []
    for name, (colour, marker, line), curve in drawn:
        x, mean, low, high = curve.epochs, curve.mean, curve.low, curve.high
        if len(x) == 1 and x[0] == 0:
            x = np.array([0, last])
            mean, low, high = (np.repeat(values, 2) for values in (mean, low, high))
        axes.fill_between(x, low, high, color=colour, alpha=0.16, lw=0)
        axes.plot(x, mean, line, color=colour, lw=1.5)
        whole = np.broadcast_to(curve.n == curve.n.max(), x.shape)
        axes.plot(x[whole], mean[whole], marker, color=colour, ms=4.5)
        axes.plot(x[~whole], mean[~whole], marker, mfc="white", mec=colour, ms=4.5)
        if x[-1] < last:
            name += f" (to epoch {x[-1]})"
            axes.axvline(x[-1], color=LINE, lw=0.8, zorder=0)
        ends.append((float(mean[-1]), int(x[-1]), name, (colour, marker, line)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.grid(axis="y", color="#e4e7eb", lw=0.6)
    axes.margins(y=0.08)
    if shared:
        axes.set_ylim(*shared)
    end_labels(axes, ends, last)


def end_labels(axes: Axes, ends: Sequence[tuple[float, float, str, Style]], last: float) -> None:
    """Marker and name to the right of the plot, moved apart where lines end close together; a line leads to each."""
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    low, high = axes.get_ylim()
    ends = sorted(ends)
    places = _apart([y for y, *_ in ends], (high - low) * 0.062)
    left = last + 0.07 * (axes.get_xlim()[1] - axes.get_xlim()[0])
    for place, (y, x, name, (colour, marker, _)) in zip(places, ends, strict=True):
        axes.plot([x, left], [y, place], "-", color=LINE, lw=0.8, clip_on=False, zorder=1)
        axes.plot(left, place, marker, color=colour, ms=4.5, clip_on=False)
        axes.annotate(
            name, (left, place), (6, 0), textcoords="offset points", va="center", color=colour, fontsize=8.5
        ).set_annotation_clip(False)


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places moved as little as need be, and as groups, until each is `gap` above the one before."""
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        # The middles of two neighbouring groups are half of their places apart.
        while len(groups) > 1 and _middle(groups[-1]) - _middle(groups[-2]) < gap * sum(map(len, groups[-2:])) / 2:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_middle(group) + gap * (i - (len(group) - 1) / 2) for group in groups for i in range(len(group))]


def _middle(group: Sequence[float]) -> float:
    return sum(group) / len(group)


def canvas(
    width: float, height: float, plots: int, title: str, *, rows: bool = False, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches, and its plots, one beside or below another."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, color=INK)
    grid = figure.subplots(plots if rows else 1, 1 if rows else plots, squeeze=False, sharex=rows, sharey=share)
    panels = list(grid.ravel())
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def picture(name: str, kind: PictureKind, alt: str, figure: Figure, study_set: str) -> ReportFigure:
    """The figure as SVG and PNG, the same bytes each time."""
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")
    figure.savefig(png, format="png", metadata={"Software": None})
    return ReportFigure(name, kind, study_set, alt, svg.getvalue(), png.getvalue())
