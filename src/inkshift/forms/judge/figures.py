"""Pictures of an evaluation, after figures 10, 11 and 12 of Pacchiotti et al. (2023). All are PNG files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, BAR = "#1f2933", "#3b6ea5"
MOST_BARS = 400


def confusion_picture(confusion: Sequence[Sequence[int]]) -> bytes:
    """Figure 12: counts of digits, label by row and reading by column; the shade is the share of its row."""
    counts = np.asarray(confusion, np.int64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _canvas(6.2, 6.0, "Digits: label against reading")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[i, j] > 0.5 else INK
            axes.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set(xlabel="read as", ylabel="label", xticks=range(10), yticks=range(10))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _png(figure)


def value_distribution(values: Mapping[int, int]) -> bytes:
    """Figure 10: how often each number was labelled. values: number to count; 400 bars at most."""
    figure, axes = _canvas(8, 3.4, "Distribution of numbers")
    numbers = np.array(list(values), np.float64)
    low, high = (numbers.min(), numbers.max()) if len(numbers) else (0.0, 0.0)
    edges = np.linspace(low - 0.5, high + 0.5, min(int(high - low) + 1, MOST_BARS) + 1)
    axes.hist(numbers, bins=edges.tolist(), weights=list(values.values()), color=BAR)
    axes.set(xlabel="number", ylabel="count")
    return _png(figure)


def digit_distribution(digits: Sequence[int]) -> bytes:
    """Figure 11: how often each digit was labelled. digits: ten counts."""
    figure, axes = _canvas(6, 3.4, "Distribution of digits")
    bars = axes.bar(range(10), digits, color=BAR)
    axes.bar_label(bars, fontsize=8, color=INK)
    axes.set(xlabel="digit", ylabel="count", xticks=range(10))
    return _png(figure)


def _canvas(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """A figure of `width` x `height` inches with one plot and no global state."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()
