"""A field cut out of its page: what is printed there, what of it is its own ink, and whether there is any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Stats
from inkshift.forms.cut import borders, dots, grid, printed, segment, sides
from inkshift.forms.cut import ink as inks
from inkshift.reframe import median_of, to_gray

Kind = Literal["cells", "number", "digit", "tick", "text"]
Ends = tuple[tuple[float, float] | None, ...]

# Shares of a field's height: ink so large is as likely writing as not, how soft that limit is, and a piece so large at
# the side of a crop is no remainder.
SPECK, SPECK_SPREAD, _NEIGHBOUR = 0.13, 0.02, 0.5
# What is no stroke of a pen, on generated pages. Shadow of a fold: less than the first share of its darkness is gone so
# many heights of a field beside its darkest, which is the second share of it and no darker than the fourth; a fold goes
# on at both sides of a crop, so that it spans such a share of it. Left of print that was taken out: so thin, in
# heights, along that print with such a share.
_STEEP, _CORE, _BESIDE, _SHADE, _ACROSS, _SLIVER, _ALONG = 0.75, 0.75, 0.08, 100, 0.9, 0.08, 0.75
# Of a line from nearly side to side of a field: shares of its width that both ends lie inside at least, of its height
# that it lies off its middle at most, and how many times wider than high it is.
_DASH_ROOM, _DASH_MIDDLE, _DASH_FLAT = 0.02, 0.3, 5
# Share of a cell's size, or a field's height, that its frame takes on each side; pixels in which a stroke meets it.
INSET, _MEETS = 0.15, 2


@dataclass(frozen=True, slots=True)
class FieldJob:
    """What is to be read from one crop.

    frame: xmin, ymin, xmax, ymax of the field's box in pixels of the crop. printed: whether its lines are there.
    struck: 0 to 1, how sure it is that what it holds was struck out, where that was looked for. print_: (H, W) bool,
    where print was taken out of `dark` (see `own`); None where none was. passed: for each cell how sure it is, 0 to 1,
    that a stroke over the page says that it is not used; empty where none does. places, signed: digits behind a
    separator, of which `largest` counts the smallest unit; whether a dash before the number is a minus. ink: (H, W)
    bool, the ink that is the field's, where that is known from around it, as in a table: signs and strokes are looked
    for in this alone. ends: of a line from head to foot at its left and its right, how many pixels from the left it is,
    and how sure it is that it is a border and no 1, 0 to 1; None where there is none.
    """

    name: str
    kind: Kind
    crop: npt.NDArray[np.uint8]
    dark: Gray
    frame: tuple[int, int, int, int]
    cells: int = 0
    digits: tuple[int, int] = (1, 8)
    largest: int | None = None
    printed: bool = False
    struck: float = 0.0
    print_: npt.NDArray[np.bool_] | None = None
    passed: tuple[float, ...] = ()
    places: int = 0
    signed: bool = False
    ink: npt.NDArray[np.bool_] | None = None
    ends: Ends = (None, None)


def as_job(
    picture: npt.NDArray[np.uint8],
    name: str,
    kind: Kind,
    digits: tuple[int, int],
    ink: npt.NDArray[np.bool_] | None = None,
) -> FieldJob:
    """What is to be read from a picture, (H, W) or (H, W, 3) uint8, that shows one number or digit and nothing else."""
    frame = (0, 0, picture.shape[1], picture.shape[0])
    return own(FieldJob(name, kind, picture, inks.darkness(picture), frame, digits=digits, ink=ink))


def own(job: FieldJob, blank: Gray | None = None, gain: float | None = None) -> FieldJob:
    """The field without what is printed: its darkness is 0 there, and `seen` shows paper.

    blank: the darkness of the same place on the blank form, of the crop's shape, where there is a picture of it. gain:
    see `printed.from_reference`.
    """
    whole = job.frame == (0, 0, *job.dark.shape[::-1])
    dark, ends = job.dark, job.ends
    print_ = np.zeros(dark.shape, bool)
    if blank is not None:
        print_ |= printed.from_reference(dark, blank, gain)
        dark = dark * ~print_
    elif job.kind in ("number", "text") and (rows := dots.from_dots(dark, job.frame[3] - job.frame[1])).any():
        print_ |= rows
        dark = dark * ~print_
    if whole:
        border = borders.from_edges(dark, upright=job.kind == "digit")
        if border.any() and (job.kind == "digit" or grid.printed_cells(dark) is None):
            print_ |= border
        if job.kind == "number":
            print_, ends = _without_borders(dark, print_)
    elif job.kind in ("number", "text") and job.printed:
        print_ |= printed.from_box(job.dark, job.frame)
    if job.ink is not None:
        print_ &= ~job.ink
    return replace(job, dark=job.dark * ~print_, print_=print_, ends=ends) if print_.any() else replace(job, ends=ends)


def _without_borders(dark: Gray, print_: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], Ends]:
    """Print with the upright borders that are surely some, and the lines that are left; see `FieldJob.ends`."""
    ends: list[tuple[float, float] | None] = []
    found = borders.upright_lines(dark, print_)
    if any(found) and grid.printed_cells(dark) is not None:
        return print_, (None, None)
    for line in found:
        if line is not None and line.border > borders.BORDER:
            print_ = print_ | printed.without_crossings(dark, line.mask)
            line = None
        ends.append(None if line is None or not line.alone else (line.place, line.border))
    return print_, tuple(ends)


def seen(job: FieldJob) -> tuple[npt.NDArray[np.uint8], Gray]:
    """A field's box and a little around it, since digits leave their boxes: as on the page, and its darkness."""
    crop = job.crop if job.print_ is None else printed.painted_out(job.crop, job.dark, job.print_)
    return crop[around(job)], job.dark[around(job)]


def around(job: FieldJob) -> tuple[slice, slice]:
    """Rows and columns of a field's box in its crop, and a little around it."""
    x0, y0, x1, y1 = job.frame
    room = _room(job)
    return slice(max(y0 - room, 0), y1 + room), slice(max(x0 - room, 0), x1 + room)


def _room(job: FieldJob) -> int:
    return round(0.06 * (job.frame[3] - job.frame[1]))


def inner(job: FieldJob) -> Gray:
    """The darkness inside a field's frame, its printed lines or dots left out; of cells, their insides side by side."""
    x0, y0, x1, y1 = job.frame
    inset = round(0.12 * (y1 - y0)) if job.printed or job.cells > 1 else 0
    if job.cells <= 1:
        return job.dark[y0 + inset : y1 - inset, x0 + inset : x1 - inset]
    edges = np.linspace(x0, x1, job.cells + 1).round().astype(int).tolist()
    inset_x = min(inset, round(0.12 * (x1 - x0) / job.cells))
    insides = [job.dark[y0 + inset : y1 - inset, a + inset_x : b - inset_x] for a, b in pairwise(edges)]
    return np.hstack(insides)


def number_ink(job: FieldJob, reference: float | None = None) -> Gray:
    """Ink of the number in a field, without its box and what lies outside of it."""
    h, w = job.dark.shape
    ink = inks.line_ink(job.dark, reference)
    return ink if job.frame == (0, 0, w, h) else _inside(ink, job.frame)


def own_ink(job: FieldJob, reference: float | None = None) -> Gray:
    """As `number_ink`, and where the field's own ink is known, nothing but that: of lines near it, pieces are left.

    What is read digit by digit is not cut to this, since a digit may share a stroke with a line.
    """
    if job.ink is None:
        return number_ink(job, reference)
    return inks.extract(_own_dark(job), inks.threshold_of(job.dark, reference))


def faint_ink(job: FieldJob) -> Gray:
    """All of a field's own ink that the paper's noise hardly reaches, however much paler than the rest."""
    dark = _own_dark(job)
    return inks.extract(dark, inks.faintest(dark))


def _own_dark(job: FieldJob) -> Gray:
    return job.dark if job.ink is None else job.dark * job.ink


def _inside(ink: Gray, frame: tuple[int, int, int, int]) -> Gray:
    """Ink of the pieces whose middle lies inside the frame."""
    x0, y0, x1, y1 = frame
    labels, stats = segment.components(ink)
    x, y = stats[:, 0] + stats[:, 2] / 2, stats[:, 1] + stats[:, 3] / 2
    keep = np.zeros(len(stats) + 1, bool)
    keep[1:] = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    return ink * keep.take(labels)


def strokes(job: FieldJob, reference: float | None) -> Gray:
    """All ink in a field but rules from edge to edge: a strike may be as long as a short rule."""
    ink = inks.extract(_own_dark(job), inks.threshold_of(inner(job), reference))
    whole = job.frame == (0, 0, *job.dark.shape[::-1])
    return inks.without_rules(ink if whole else _inside(ink, job.frame), across=round(0.96 * ink.shape[1]), down=0)


def meets_frame(job: FieldJob, ink: Gray) -> bool:
    """Whether a stroke of a field's number meets its printed frame: the bar of a 7 may have gone with that.

    ink: see `strokes`. Print in the middle of a field, such as a line to write on, is crossed and takes nothing away;
    dots are too small to.
    """
    if job.print_ is None:
        return False
    x0, y0, x1, y1 = job.frame
    room = round(sides.SLACK * min(x1 - x0, y1 - y0))
    pieces, sizes = segment.components(job.print_.view(np.uint8))
    largest = dots.DOT * (y1 - y0) + 2  # of a dot with the pixel around it
    lines = np.concatenate([[False], sizes[:, 2:4].max(1) > largest])[pieces]
    frame = inks.grown(lines.view(np.uint8), 3, 3) > 0
    frame[y0 + room : y1 - room, x0 + room : x1 - room] = False
    labels, stats = segment.components(ink)
    large = np.concatenate([[False], stats[:, 2:4].min(1) > _SLIVER * (y1 - y0)])
    at_end = frame & large[labels]
    if not at_end.any():
        return False
    # Between a stroke that only comes near and the print there is paper.
    gray = to_gray(job.crop)
    edge = (inks.grown(at_end.view(np.uint8), 3, 3) > 0) & lines
    return bool(np.count_nonzero(gray[edge] <= median_of(gray[large[labels]])) >= _MEETS)


def no_ink(job: FieldJob) -> float:
    """How sure it is, 0 to 1, that a field holds nothing larger than specks."""
    return void_of(job, pieces_of(job))


def void_of(job: FieldJob, pieces: Stats) -> float:
    """How sure it is, 0 to 1, that a field holds nothing, by its largest piece of ink: specks are far below a digit."""
    height = job.frame[3] - job.frame[1]
    largest = float(pieces[:, 2:4].max()) if len(pieces) else 0.0
    return void_of_size(largest / height)


def void_of_size(size: float) -> float:
    """How sure ink so large leaves it, 0 to 1, that a field holds nothing. size: in heights of the field."""
    return float(1 / (1 + np.exp(min((size - SPECK) / SPECK_SPREAD, 700.0))))  # beyond that a float ends


def pieces_of(job: FieldJob) -> Stats:
    """Rows x, y, width, height, area of the pieces of ink in a field, found without knowing how dark its page's is.

    What touches the sides of a crop that no template describes is a neighbour's, or left of a border. Shadows, and what
    is left of print, are no ink.
    """
    ink = np.maximum(own_ink(job), np.maximum(_long_dash(job), _pale_ink(job)))
    labels, stats = segment.components(ink)
    x, y, wide, high, _ = stats.T
    kept = np.ones(len(stats), bool)
    if job.frame == (0, 0, *job.dark.shape[::-1]):
        h, w = ink.shape
        small = np.maximum(wide, high) < _NEIGHBOUR * h
        kept = ~(small & ((x == 0) | (y == 0) | (x + wide == w) | (y + high == h)))
    height = job.frame[3] - job.frame[1]
    reach = max(3, round(_BESIDE * height))
    print_ = np.zeros(ink.shape, np.uint8) if job.print_ is None else inks.grown(job.print_.view(np.uint8), 5, 5)
    for k in np.flatnonzero(kept & (np.maximum(wide, high) > (SPECK - 3 * SPECK_SPREAD) * height)).tolist():
        near = tuple(
            slice(max(start - reach, 0), start + long + reach) for start, long in ((y[k], high[k]), (x[k], wide[k]))
        )
        own, dark, printed_ = labels[near] == k + 1, job.dark[near], print_[near] > 0
        sliver = min(wide[k], high[k]) <= _SLIVER * height and printed_[own].mean() >= _ALONG
        across = max(wide[k] / ink.shape[1], high[k] / ink.shape[0]) >= _ACROSS
        kept[k] = not (sliver or (across and _is_shadow(dark, own, printed_, reach)))
    return stats[kept]


def _pale_ink(job: FieldJob) -> Gray:
    """Ink in the middle of a field by itself: what is printed around it may be so dark that a pale pen is none."""
    x0, y0, x1, y1 = job.frame
    inset = round(INSET * (y1 - y0))
    middle = slice(y0 + inset, y1 - inset), slice(x0 + inset, x1 - inset)
    out = np.zeros_like(job.dark)
    dark = _own_dark(job)[middle]
    if dark.size and job.frame != (0, 0, *job.dark.shape[::-1]):
        out[middle] = inks.extract(dark, inks.threshold_of(dark))
    return out


def _long_dash(job: FieldJob) -> Gray:
    """Ink of level lines in the middle of a field that begin and end between its sides: a pen's, though rules are as
    long."""
    x0, y0, x1, y1 = job.frame
    ink = strokes(job, None)
    labels, stats = segment.components(ink)
    x, y, wide, high, _ = stats.T
    room = _DASH_ROOM * (x1 - x0)
    between = (x > x0 + room) & (x + wide < x1 - room) & (wide > 0.5 * (x1 - x0)) & (wide > _DASH_FLAT * high)
    middle = (y + high / 2 - y0) / (y1 - y0)
    kept = np.concatenate([[False], between & (np.abs(middle - 0.5) < _DASH_MIDDLE)])
    return np.asarray(ink * kept[labels], np.uint8)


def _is_shadow(dark: Gray, own: npt.NDArray[np.bool_], print_: npt.NDArray[np.bool_], reach: int) -> bool:
    """Whether ink, `own`, is pale and gets paler so slowly that it is a shadow, as of a fold; reach: pixels beside its
    darkest."""
    core = (own & (dark >= _CORE * np.percentile(dark[own], 95))).view(np.uint8)
    if dark[core > 0].mean() > _SHADE:
        return False
    side = 2 * reach + 1
    ring = (inks.grown(core, side, side) > inks.grown(core, side - 4, side - 4)) & ~print_
    return bool(ring.any() and median_of(dark[ring]) > (1 - _STEEP) * dark[core > 0].mean())
