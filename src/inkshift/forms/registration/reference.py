"""What is printed on a form: from a picture of it, or drawn from what its template knows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Matrix
from inkshift.forms.registration.scan import Contrast, contrast, inverse, strokes
from inkshift.forms.template import Box, FieldSpec, PageSpec

Spectrum = npt.NDArray[np.float32]

# Pixels along the longer side of the form: whole pages are compared at about 45 dpi of A4, patches at twice that.
COARSE, FINE = 500, 1000
# Sides of the windows in which contrast is normalised, about 7 mm.
COARSE_WINDOW, FINE_WINDOW = 13, 27
# Rivals are looked for as far as 25 mm of an A4 page, or as the largest field is high and wide.
_RIVALS = 1 / 12
_WIDEST_RIVALS = 1 / 5
# A patch for every cell of such a grid over the form that has print in it, and its side; and small ones, by which the
# bend of paper is followed.
_PATCHES, _PATCH = (6, 8), 56
_SMALL_PATCHES, _SMALL_PATCH = (16, 22), 36
# How far patches are looked for at most, pixels of the fine size; what share of a patch is as good as itself; and how
# near that is of its own stroke still, 3.5 mm of A4.
FARTHEST, _AS_GOOD, _OWN = 44, 0.8, 12
MOST_KEYPOINTS = 1500
_LEAST_PRINT = 0.02
# Of the line of a frame: the points that are looked at along it, and pixels of the fine size to each side, since paper
# bends; less contrast is no print.
_POINTS, _ASIDE, _PRINTED = 16, 2, 0.25
# So many sides of fields that are in line are the border of a column or a row.
_IN_LINE = 4
# A shift by which the print is nearly as like itself as by the best.
_AS_ALIKE = 0.9
# Gray levels, of a drawn line shrunk to the fine size, that are still of it.
_DRAWN = 220
# Shifts of so few pixels of the coarse print, 0.6 mm each, are the same place in any case.
_SAME = 3.0
# Likeness above which a form upside down cannot be told from itself, and the blur in coarse pixels for that.
_ALIKE, _SOFT = 0.8, 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A piece of the reference to look for. x, y: its top left pixel; print: (h, w) contrast, 0 where anything may be.

    hold: 2x2, how fast it stops fitting itself when moved: large along x for upright strokes, along y for level ones.
    half: its print at half the size. alone: how far, in pixels, it is looked for at most: half-way to the nearest piece
    beside it that is as good as itself, such as the next row of a table.
    """

    x: int
    y: int
    print: Contrast
    hold: Matrix
    half: Contrast
    alone: int = FARTHEST

    @property
    def middle(self) -> tuple[float, float]:
        """Its centre in pixels of the fine reference."""
        h, w = self.print.shape
        return self.x + (w - 1) / 2, self.y + (h - 1) / 2

    def box(self, unit: float) -> Box:
        """Where it is, in pixels of which one of the fine reference has `unit`."""
        h, w = self.print.shape
        return self.x * unit, self.y * unit, w * unit, h * unit


@dataclass(frozen=True, slots=True)
class PrintPart:
    """The print as it counts, or a part of it. print: (H, W), on the coarse picture; whole: the sum of its product with
    the coarse print. Of it, and of it upside down: spectrum; likeness: to the coarse print for each shift within
    `Reference.reach`, 1 in the middle; lacking: what a rival at each of them should lack.
    """

    print: Contrast
    whole: float
    spectrum: Spectrum
    turned_spectrum: Spectrum
    likeness: Contrast
    turned_likeness: Contrast
    lacking: Contrast
    turned_lacking: Contrast


class Reference:
    """The print of a form of which a page is to be found. picture: (H, W) uint8 of the size of the page's template, or
    scaled from it; without one the marks, lines and frames of the template are drawn.
    """

    def __init__(self, spec: PageSpec, picture: Gray | None) -> None:
        self.spec, self.picture = spec, picture
        self.drawn = picture is None
        self.size = spec.size

    def scaled(self, longer: int) -> Matrix:
        """3x3: template pixels to a picture of the form whose longer side is `longer`."""
        f = longer / max(self.size)
        return np.array([[f, 0, (f - 1) / 2], [0, f, (f - 1) / 2], [0, 0, 1]])

    def closer(self, longer: int) -> int:
        """How many times finer a scan is looked at than it is compared: fine rules are lost on a small picture."""
        return FINE // longer if self.drawn else 1

    def seen(self, picture: Gray, longer: int, plain: int = 0) -> Contrast:
        """A picture, `closer` times as fine as `longer`, as it is compared with this reference at `longer`: its
        contrast, or its strokes where only these are known. plain: as for `contrast`.
        """
        if not self.drawn:
            return contrast(picture, FINE_WINDOW if longer == FINE else COARSE_WINDOW, plain)
        made = strokes(picture, FINE_WINDOW, plain)
        return made if longer == FINE else halved(made)

    def _print(self, longer: int, window: int) -> Contrast:
        f = longer / max(self.size)
        size = round(self.size[0] * f) * self.closer(longer), round(self.size[1] * f) * self.closer(longer)
        picture = draw(self.spec) if self.picture is None else self.picture
        mode = cv2.INTER_AREA if picture.shape[1] > size[0] else cv2.INTER_CUBIC
        made = self.seen(np.asarray(cv2.resize(picture, size, interpolation=mode), np.uint8), longer)
        made[np.abs(made) < 0.25] = 0
        if not self.drawn:
            edge = window // 3
            made[:edge] = made[-edge:] = 0
            made[:, :edge] = made[:, -edge:] = 0
        for spec in self.spec.fields:
            x, y, w, h = spec.box[0] * f + (f - 1) / 2, spec.box[1] * f + (f - 1) / 2, spec.box[2] * f, spec.box[3] * f
            inset = max(0.12 * min(w, h), 2.5)
            ends = [x + w * i / max(spec.cells, 1) for i in range(max(spec.cells, 1) + 1)]
            for left, right in itertools.pairwise(ends):
                made[round(y + inset) : round(y + h - inset), round(left + inset) : round(right - inset)] = 0
        return made

    @cached_property
    def reach(self) -> tuple[int, int]:
        """How far across and down rivals are looked for, in pixels of the coarse print."""
        f = COARSE / max(self.size)
        wide, high = (max((spec.box[i] for spec in self.spec.fields), default=0) * f * 1.2 for i in (2, 3))
        return (
            round(min(max(COARSE * _RIVALS, wide), COARSE * _WIDEST_RIVALS)),
            round(min(max(COARSE * _RIVALS, high), COARSE * _WIDEST_RIVALS)),
        )

    @cached_property
    def same(self) -> float:
        """Shifts below so many pixels of the coarse print matter to no field: it still lies on what is its own."""
        lowest = min((min(spec.box[2:]) for spec in self.spec.fields), default=0.0)
        return max(_SAME, 0.4 * lowest * COARSE / max(self.size))

    @cached_property
    def coarse(self) -> Contrast:
        """What is printed, about 50 dpi, with `reach` pixels of nothing on every side."""
        rx, ry = self.reach
        made = cv2.copyMakeBorder(self._print(COARSE, COARSE_WINDOW), ry, ry, rx, rx, cv2.BORDER_CONSTANT, value=(0,))
        return np.asarray(made, np.float32)

    @cached_property
    def fine(self) -> Contrast:
        """What is printed, about 100 dpi, without a border."""
        return self._print(FINE, FINE_WINDOW)

    @cached_property
    def weighted(self) -> Contrast:
        """The coarse print as it counts: corner marks, where nothing else is known, as much as all the rest."""
        rest = self.coarse.copy()
        if (marks := self.marks) is None:
            return rest
        energy = self.coarse**2
        rest[marks] *= max(1.0, float(energy[~marks].sum()) / max(float(energy[marks].sum()), 1e-6))
        return rest

    @cached_property
    def marks(self) -> npt.NDArray[np.bool_] | None:
        """Where corner marks are on the coarse print; None where none are known, or more than marks and lines is."""
        if not (self.drawn and self.spec.marks):
            return None
        marks = np.zeros(self.coarse.shape, np.bool_)
        for mark in self.spec.marks:
            x, y, _ = self.to_coarse @ (mark.x, mark.y, 1)
            half = mark.size * self.to_coarse[0, 0]
            marks[max(0, round(y - half)) : round(y + half) + 1, max(0, round(x - half)) : round(x + half) + 1] = True
        return marks

    @cached_property
    def counts(self) -> Contrast:
        """How much there is to be seen in each place of the coarse print, as it counts."""
        return self.coarse * self.weighted

    @cached_property
    def points(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Up to 1500 places in template pixels (N, 2) that are printed dark, and how much each counts (N,)."""
        rows, columns = np.nonzero(self.coarse > 0.5 * self.coarse.max())
        step = max(1, len(rows) // 1500)
        rows, columns = rows[::step], columns[::step]
        at = np.stack([columns, rows, np.ones_like(rows)]) if len(rows) else np.zeros((3, 1))
        weights = self.weighted[rows, columns] if len(rows) else np.ones(1)
        return (inverse(self.to_coarse) @ at)[:2].T, np.asarray(weights, np.float64)

    @cached_property
    def ways(self) -> tuple[npt.NDArray[np.float32], ...]:
        """Where the print as it counts is of level strokes, and where of upright ones; of those that it has any."""
        xx, yy, _ = _structure(self.coarse, 3)
        both = [np.where(one > 2 * other, self.weighted, 0).astype(np.float32) for one, other in ((yy, xx), (xx, yy))]
        return tuple(part for part in both if float((part * self.coarse).sum()) > 0.05 * float(self.counts.sum()))

    @cached_property
    def kinds(self) -> tuple[Gray, ...]:
        """What is drawn of the form at the fine size, level lines, upright ones and marks apart: (H, W) uint8, 0 or 1
        where there is any.
        """
        lines = printed_lines(self.spec)
        level = tuple(line for line in lines if abs(line[2] - line[0]) >= abs(line[3] - line[1]))
        upright = tuple(line for line in lines if line not in level)
        bare = self.spec.model_copy(update={"fields": (), "lines": (), "marks": ()})
        some = ({"lines": level}, {"lines": upright}, {"marks": self.spec.marks})
        size = [round(v * FINE / max(self.size)) for v in self.size]
        made = [cv2.resize(draw(bare.model_copy(update=one)), size, interpolation=cv2.INTER_AREA) for one in some]
        return tuple((picture < _DRAWN).astype(np.uint8) for picture in made)

    @cached_property
    def period(self) -> tuple[float, float]:
        """The shortest shift, right and down in template pixels, by which the print is as like itself as by any that
        fields do not bear.
        """
        likeness = self.parts[0].likeness
        dy, dx = np.indices(likeness.shape) - np.array(self.reach[::-1])[:, None, None]
        far = np.maximum(np.abs(dx), np.abs(dy))
        alike = (far >= self.same) & (likeness >= _AS_ALIKE * likeness[far >= self.same].max(initial=0))
        alike &= likeness == cv2.dilate(likeness, np.ones((5, 5), np.uint8))
        if not alike.any():
            return 0.0, 0.0
        r, c = np.unravel_index(int(np.argmin(np.where(alike, far, far.max() + 1))), far.shape)
        f = self.to_coarse[0, 0]
        return float(dx[r, c] / f), float(dy[r, c] / f)

    @cached_property
    def parts(self) -> tuple[PrintPart, ...]:
        """The print as it counts, and where only strokes are known, its level and its upright ones."""
        whole = self._part(self.weighted)
        return (whole, *(self._part(way) for way in self.ways)) if self.drawn and len(self.ways) > 1 else (whole,)

    def _part(self, print_: Contrast) -> PrintPart:
        one, other = spectrum(print_), spectrum(np.ascontiguousarray(print_[::-1, ::-1]))
        whole = max(float((self.coarse * print_).sum()), 1e-6)
        own = spectrum(self.coarse)
        likeness, turned = (shifted(own, of, self.reach) / whole for of in (one, other))
        return PrintPart(print_, whole, one, other, likeness, turned, lacking(likeness), lacking(turned))

    def _upside(self, reach: tuple[int, int]) -> Contrast:
        """Of the coarse print to itself upside down for each shift within `reach`; where only strokes are known, of the
        whole or its level or its upright ones, whichever are less alike, all softened: half a pixel beside, thin ones
        would be no more alike.
        """
        right, down = (max(own - have, 0) for own, have in zip(reach, self.reach, strict=True))
        parts = (self.coarse, *(part.print for part in self.parts))
        wide = [cv2.copyMakeBorder(part, 0, down, 0, right, cv2.BORDER_CONSTANT, value=(0,)) for part in parts]
        coarse, *soft = (np.asarray(cv2.GaussianBlur(part, (0, 0), _SOFT), np.float32) for part in wide)
        own, (high, across), made = spectrum(coarse), self.coarse.shape, []
        for print_ in soft:
            turned = np.zeros_like(print_)
            turned[:high, :across] = print_[high - 1 :: -1, across - 1 :: -1][:high, :across]
            whole = max(float((coarse * print_).sum()), 1e-6)
            made.append(shifted(own, spectrum(turned), reach) / whole)
        return np.asarray(np.min(made, axis=0), np.float32)

    def differences(self, shift: tuple[float, float], turned: bool) -> tuple[float, ...]:
        """Shares of the print and of its parts in which the form differs from itself when it is moved right and down by
        so many template pixels, upside down if `turned`; all of it beyond `reach`.
        """
        f = COARSE / max(self.size)
        c, r = (round(v * f) + reach for v, reach in zip(shift, self.reach, strict=True))
        if not (0 <= c <= 2 * self.reach[0] and 0 <= r <= 2 * self.reach[1]):
            return (1.0,) * len(self.parts)
        return tuple(float((part.turned_lacking if turned else part.lacking)[r, c]) for part in self.parts)

    @cached_property
    def alike_turned(self) -> bool:
        """Whether what is known of the print is the same upside down, in about the same place."""
        like = self._upside(self.reach) if self.drawn else self.parts[0].turned_likeness
        return float(like.max()) > _ALIKE

    @cached_property
    def upside_down(self) -> Matrix:
        """3x3, template pixels to those of the form laid over itself upside down."""
        return self._over(self._upside(self.reach) if self.drawn else self.parts[0].turned_likeness, self.reach)

    @cached_property
    def upside_down_afar(self) -> Matrix | None:
        """As `upside_down`, where the print is the same in another place, as far away as half the form; None where it
        is not: a table that is not in the middle of its page.
        """
        reach = self.coarse.shape[1] // 2, self.coarse.shape[0] // 2
        like = self._upside(reach)
        return self._over(like, reach) if float(like.max()) > _ALIKE and not self.alike_turned else None

    def _over(self, likeness: Contrast, reach: tuple[int, int]) -> Matrix:
        """The map upside down at the shift, within `reach`, at which the print is most like itself."""
        r, c = np.unravel_index(int(np.argmax(likeness)), likeness.shape)
        f = max(self.size) / COARSE
        shift = (c - reach[0]) * f, (r - reach[1]) * f
        return np.array([[-1, 0, self.size[0] - 1 + shift[0]], [0, -1, self.size[1] - 1 + shift[1]], [0, 0, 1]])

    @property
    def flipped(self) -> Matrix:
        """3x3, template pixels to those of the template upside down."""
        return np.array([[-1, 0, self.size[0] - 1], [0, -1, self.size[1] - 1], [0, 0, 1]], np.float64)

    @property
    def to_coarse(self) -> Matrix:
        """3x3, template pixels to pixels of `coarse`."""
        made = self.scaled(COARSE)
        made[:2, 2] += self.reach
        return made

    @cached_property
    def keypoints(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.float64]] | None:
        """Keypoints (N, 2) of the picture in template pixels, their codes (N, 32), and their directions (N,) in
        degrees; None without a picture.
        """
        if self.picture is None:
            return None
        f = 900 / max(self.picture.shape)
        small = cv2.resize(self.picture, None, fx=f, fy=f, interpolation=cv2.INTER_AREA if f < 1 else cv2.INTER_LINEAR)
        points, codes = cv2.ORB.create(MOST_KEYPOINTS).detectAndCompute(small, None)
        if codes is None:
            return None
        stretch = np.array([self.size[0] / small.shape[1], self.size[1] / small.shape[0]])
        at = (np.array([point.pt for point in points]) + 0.5) * stretch - 0.5
        return at.astype(np.float32), np.asarray(codes, np.uint8), np.array([point.angle for point in points])

    @cached_property
    def patches(self) -> tuple[Patch, ...]:
        """Pieces of the fine print that tell where they are, spread over the form."""
        return self._spread(_PATCHES, _PATCH)

    @cached_property
    def small_patches(self) -> tuple[Patch, ...]:
        """More and smaller ones."""
        return self._spread(_SMALL_PATCHES, _SMALL_PATCH)

    def _spread(self, cells: tuple[int, int], side: int) -> tuple[Patch, ...]:
        """The piece of that side in each cell of a grid over the form, so many across and down, that tells most."""
        across, down = cells
        h, w = self.fine.shape
        energy = cv2.blur(self.fine * self.fine, (side, side))
        tensor = _structure(self.fine, side)
        half = (tensor[0] + tensor[1]) / 2
        least = half - np.sqrt(np.maximum(((tensor[0] - tensor[1]) / 2) ** 2 + tensor[2] ** 2, 0))
        worth = least + 0.1 * half
        margin = side // 2
        made = []
        rows, columns = np.linspace(margin, h - margin, down + 1), np.linspace(margin, w - margin, across + 1)
        for top, bottom in itertools.pairwise(rows.astype(int)):
            for left, right in itertools.pairwise(columns.astype(int)):
                cell = worth[top:bottom, left:right]
                if not cell.size:
                    continue
                r, c = np.unravel_index(int(np.argmax(cell)), cell.shape)
                y, x = top + int(r), left + int(c)
                if energy[y, x] > _LEAST_PRINT:
                    made.append(self.piece(x - margin, y - margin, side, side))
        around = np.pad(self.fine, FARTHEST)
        return tuple(replace(patch, alone=_alone(patch, around)) for patch in made if patch is not None)

    @cached_property
    def fields(self) -> tuple[Patch | None, ...]:
        """For each field the print of its frame and around it; None where there is none."""
        return tuple(self.around(spec.box) for spec in self.spec.fields)

    @cached_property
    def rulings(self) -> tuple[tuple[bool, npt.NDArray[np.intp]], ...]:
        """The borders of columns and of rows, each whether it is upright, and which of the lines of `frames` are on it:
        sides of several fields that are in line.
        """
        _, _, points, _ = self.frames
        ends = points[:, _ASIDE][:, [0, -1]].reshape(len(points), 4)
        upright = np.abs(ends[:, 3] - ends[:, 1]) > np.abs(ends[:, 2] - ends[:, 0])
        at = np.where(upright, ends[:, 0], ends[:, 1])
        key = 2 * np.rint(at).astype(np.int64) + upright
        groups = ((bool(one % 2), np.flatnonzero(key == one)) for one in np.unique(key))
        return tuple((way, group) for way, group in groups if len(group) >= _IN_LINE)

    @cached_property
    def frames(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_], Matrix, npt.NDArray[np.float64]]:
        """The lines of the fields' printed frames: whose each is, (L,); whether it is a wall between two cells, (L,);
        points along it and beside it, (L, B, P, 2) pixels of the fine reference; and how dark it is there, (L,). Lines
        that are not printed are left out.
        """
        framed = [(k, spec) for k, spec in enumerate(self.spec.fields) if spec.frame]
        lines = [(k, 0 < i < spec.cells, side) for k, spec in framed for i, side in enumerate(frame_of(spec), -2)]
        owner = np.array([k for k, _, _ in lines], np.intp)
        wall = np.array([between for _, between, _ in lines], np.bool_)
        ends = np.array([side for _, _, side in lines], np.float64).reshape(-1, 2, 2) * (FINE / max(self.size))
        steps = np.linspace(0.1, 0.9, _POINTS)[:, None]
        along = ends[:, :1] + steps * (ends[:, 1:] - ends[:, :1])
        level = ends[:, 0, 1] == ends[:, 1, 1]
        beside = np.where(level[:, None], [0.0, 1.0], [1.0, 0.0])[:, None] * np.arange(-_ASIDE, _ASIDE + 1)[:, None]
        points = along[:, None] + beside[:, :, None]
        dark = darkest_along(self.fine, points)
        printed = dark > _PRINTED
        return owner[printed], wall[printed], points[printed], dark[printed]

    def around(self, box: Box) -> Patch | None:
        """The print of a box and around it, at least 4 mm and a third of its height."""
        f = FINE / max(self.size)
        x, y, w, h = (v * f for v in box)
        margin = float(np.clip(0.35 * h, 14, 30))
        return self.piece(round(x - margin), round(y - margin), round(w + 2 * margin), round(h + 2 * margin))

    def piece(self, x: int, y: int, w: int, h: int) -> Patch | None:
        """The print of a part of the fine reference; None where there is too little."""
        x2, y2 = min(x + w, self.fine.shape[1]), min(y + h, self.fine.shape[0])
        x, y = max(x, 0), max(y, 0)
        piece = np.ascontiguousarray(self.fine[y:y2, x:x2])
        energy = float((piece * piece).sum())
        if min(piece.shape) < 8 or energy < max(_LEAST_PRINT * piece.size, 30):
            return None
        gx, gy = (cv2.Sobel(piece, cv2.CV_32F, *d, scale=0.125) for d in ((1, 0), (0, 1)))
        xy = float((gx * gy).sum())
        hold = np.array([[float((gx * gx).sum()), xy], [xy, float((gy * gy).sum())]]) / energy
        half = cv2.resize(piece, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return Patch(x, y, piece, hold, np.asarray(half, np.float32))


def _alone(patch: Patch, around: Contrast) -> int:
    """`Patch.alone`, from the fine print with a border of `FARTHEST` pixels."""
    h, w = patch.print.shape
    window = around[patch.y : patch.y + h + 2 * FARTHEST, patch.x : patch.x + w + 2 * FARTHEST]
    like = cv2.matchTemplate(window, patch.print, cv2.TM_CCORR) / float((patch.print**2).sum())
    # Along its own strokes a patch is like itself too; that is no other place.
    _, labels = cv2.connectedComponents((like > _AS_GOOD).astype(np.uint8))
    r, c = np.nonzero((labels > 0) & (labels != labels[FARTHEST, FARTHEST]))
    away = np.maximum(np.abs(r - FARTHEST), np.abs(c - FARTHEST))
    return int(away[away >= _OWN].min(initial=2 * FARTHEST)) // 2


def darkest_along(picture: Contrast, points: Matrix) -> npt.NDArray[np.float64]:
    """The mean contrast along lines, (L,), the darkest of what lies beside each point: points (L, B, P, 2), x and y."""
    at = np.rint(points).astype(np.intp)
    high, wide = picture.shape
    values = picture[np.clip(at[..., 1], 0, high - 1), np.clip(at[..., 0], 0, wide - 1)]
    return np.asarray(values.max(1).mean(1), np.float64) if len(points) else np.zeros(0)


def halved(picture: Contrast) -> Contrast:
    """A picture at half its size."""
    h, w = picture.shape
    return np.asarray(cv2.resize(picture, (w // 2, h // 2), interpolation=cv2.INTER_AREA), np.float32)


def spectrum(picture: Contrast) -> Spectrum:
    """The Fourier transform of a picture, packed as OpenCV does."""
    h, w = picture.shape
    size = cv2.getOptimalDFTSize(h), cv2.getOptimalDFTSize(w)
    padded = cv2.copyMakeBorder(picture, 0, size[0] - h, 0, size[1] - w, cv2.BORDER_CONSTANT, value=(0,))
    return np.asarray(cv2.dft(padded, nonzeroRows=h), np.float32)


def shifted(one: Spectrum, other: Spectrum, reach: tuple[int, int]) -> Contrast:
    """Sums of products of two pictures for shifts of the other by -reach..reach down and across."""
    rx, ry = reach
    full = cv2.idft(cv2.mulSpectrums(one, other, 0, conjB=True), flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
    return np.asarray(full[np.arange(-ry, ry + 1)[:, None], np.arange(-rx, rx + 1)], np.float32)


def lacking(likeness: Contrast) -> Contrast:
    """What a rival at each shift should lack, from the print's likeness to itself there."""
    # A page's strokes are broader than those drawn, so that a rival a pixel beside is as good as the rival itself.
    nearly = cv2.dilate(np.maximum(likeness, 0), np.ones((5, 5), np.uint8))
    return np.asarray(np.maximum(1 - nearly, 0), np.float32)


def _structure(picture: Contrast, window: int) -> tuple[Contrast, Contrast, Contrast]:
    gx, gy = (cv2.Sobel(picture, cv2.CV_32F, *d, scale=0.125) for d in ((1, 0), (0, 1)))
    xx, yy, xy = (np.asarray(cv2.blur(part, (window, window)), np.float32) for part in (gx * gx, gy * gy, gx * gy))
    return xx, yy, xy


def draw(spec: PageSpec) -> Gray:
    """The marks, lines and field frames of a page of a template on white paper, (H, W) uint8 in template pixels."""
    w, h = spec.size
    sheet = np.full((h, w), 255, np.uint8)
    thick = max(1, round(max(spec.size) / 700))
    for line in printed_lines(spec):
        x1, y1, x2, y2 = (round(v) for v in line)
        cv2.line(sheet, (x1, y1), (x2, y2), (0,), thick)
    for mark in spec.marks:
        half = mark.size / 2
        corners = [(round(v - half), round(v + half)) for v in (mark.x, mark.y)]
        cv2.rectangle(sheet, (corners[0][0], corners[1][0]), (corners[0][1], corners[1][1]), (0,), -1)
    return sheet


def printed_lines(spec: PageSpec) -> tuple[Box, ...]:
    """The printed lines that a page of a template knows, x1, y1, x2, y2: its own and the frames of its fields."""
    return (*spec.lines, *(side for field in spec.fields if field.frame for side in frame_of(field)))


def frame_of(spec: FieldSpec) -> Sequence[Box]:
    """The printed lines of a field's box as x1, y1, x2, y2: the four sides, and the walls between cells."""
    x, y, w, h = spec.box
    walls = [x + w * i / spec.cells for i in range(spec.cells + 1)] if spec.cells else [x, x + w]
    return [(x, y, x + w, y), (x, y + h, x + w, y + h), *((at, y, at, y + h) for at in walls)]
