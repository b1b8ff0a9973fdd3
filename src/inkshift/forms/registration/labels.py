"""What is printed beside each row of fields, such as the names of a class list: whether a page shows it there, or what
the form has beside a row nearby. A list of the same design with other names, or with one fewer, lies as the form does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms.registration.reference import FINE, Patch, Reference
from inkshift.forms.registration.refine import Place, find
from inkshift.forms.registration.scan import Contrast

# Contrast of print in words; longer strokes than so many pixels of the fine print, 12 mm of A4, are rules.
_DARK, _RULE = 0.5, 40
# Words as far from each other as a row is high are two labels; a narrower one, in pixels, tells little.
_GAP, _NARROWEST = 1.0, 12
# Rows as far away are compared, if they are about as high; labels that are as like each other are the same.
_ROWS_OFF, _AS_HIGH, _SAME_LABEL = 3, 1.4, 0.8
# A label is looked for within so many pixels, then as far as that, but not as far as this share of its row.
_REACH, _FAR, _OF_ROW = 6, 14, 0.45
# On simulated pages labels that are there have a likeness of 0.6 and more and exceed their neighbours by 0.15; other
# names in their place have 0.45, as much as their neighbours. Where nothing is printed there is less than `_SOMETHING`.
_SEEN, _OVER, _OF_USUAL, _SOMETHING = 0.6, 0.1, 0.8, 0.25
# How probable it is that a field is its own beside another row's label; beside one that is neither; and the share of
# the labels that may be others, if there are some, before none is trusted, and all are of another list if they are of
# many rows: of a form with few, whose picture was filled in, they may be handwriting.
NEIGHBOURS, _OTHER, _MOST_OTHER, _SOME, _FEW = 0.02, 0.5, 0.5, 3, 8


@dataclass(frozen=True, slots=True)
class RowLabel:
    """Print beside a row of fields, by its number from above. patch: of the fine reference; reach: how far it is looked
    for when it is not seen near its place; fields: whose it is; rivals: the labels of rows nearby that differ from it,
    each laid into its row.
    """

    row: int
    patch: Patch
    reach: int
    fields: tuple[int, ...]
    rivals: tuple[Patch, ...] = ()


@lru_cache(maxsize=32)
def labels_of(reference: Reference) -> tuple[RowLabel, ...]:
    """The labels of the rows of fields of a form with a picture; none where only lines are known."""
    if reference.drawn:
        return ()
    unit, words = max(reference.size) / FINE, _without_rules(reference.fine)
    found: list[tuple[int, int, int, RowLabel]] = []
    for row, members in enumerate(rows_of(reference)):
        boxes = np.array([reference.spec.fields[k].box for k in members]) / unit
        top, high = round(float(boxes[0, 1])), max(round(float(boxes[0, 3])), 1)
        inset = max(1, round(0.08 * high))
        band = words[max(top + inset, 0) : max(top + high - inset, 0)] > _DARK
        across = np.asarray(band.any(0), np.bool_)
        for x, _, w, _ in boxes:
            across[max(0, round(x) - 2) : round(x + w) + 3] = False
        spans = _spans(across, round(_GAP * high))
        for left, right in spans:
            down = np.flatnonzero(band[:, left:right].any(1)) + max(top + inset, 0)
            patch = reference.piece(left - 2, int(down[0]) - 1, right - left + 4, int(down[-1] - down[0]) + 3)
            if right - left >= _NARROWEST and patch is not None:
                own = _beside(left, [a for a, _ in spans], boxes)
                fields = tuple(members[k] for k in own)
                found.append((row, top, high, RowLabel(row, patch, min(_FAR, int(_OF_ROW * high)), fields)))
    around = cv2.copyMakeBorder(reference.fine, _FAR, _FAR, _FAR, _FAR, cv2.BORDER_CONSTANT, value=(0,))
    return tuple(_with_rivals(one, found, np.asarray(around, np.float32)) for one in found)


def rows_of(reference: Reference) -> list[list[int]]:
    """The fields that lie level with each other, from left to right, the rows from above."""
    boxes = [spec.box for spec in reference.spec.fields]
    rows: list[list[int]] = []
    for k in sorted(range(len(boxes)), key=lambda k: boxes[k][1] + boxes[k][3] / 2):
        _, y, _, h = boxes[k]
        if rows and abs(y + h / 2 - boxes[rows[-1][0]][1] - boxes[rows[-1][0]][3] / 2) < 0.25 * h:
            rows[-1].append(k)
        else:
            rows.append([k])
    return [sorted(row, key=lambda k: boxes[k][0]) for row in rows]


def _without_rules(fine: Contrast) -> Contrast:
    dark = (fine > _DARK / 2).astype(np.uint8)
    rules = [cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones(size, np.uint8)) for size in ((1, _RULE), (_RULE, 1))]
    return np.where(cv2.dilate(np.maximum(*rules), np.ones((3, 3), np.uint8)) > 0, np.float32(0), fine)


def _spans(across: npt.NDArray[np.bool_], gap: int) -> list[tuple[int, int]]:
    """First column, and the one after the last, of what is printed in a row, parted by gaps."""
    at = np.flatnonzero(across)
    parts = np.split(at, np.flatnonzero(np.diff(at) > gap) + 1) if len(at) else []
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def _beside(left: int, starts: Sequence[int], boxes: npt.NDArray[np.float64]) -> list[int]:
    """Which boxes of its row a label belongs to: those that follow it up to the next label, or else all before it."""
    after = [k for k, box in enumerate(boxes) if box[0] > left]
    if not after:
        return list(range(len(boxes)))
    end = min((start for start in starts if start > boxes[after[0], 0]), default=np.inf)
    return [k for k in after if boxes[k, 0] < end]


def _with_rivals(
    one: tuple[int, int, int, RowLabel], every: Sequence[tuple[int, int, int, RowLabel]], fine: Contrast
) -> RowLabel:
    row, top, high, label = one
    start, end = label.patch.x, label.patch.x + label.patch.print.shape[1]
    rivals = [
        replace(other.patch, y=other.patch.y - its_top + top)
        for its_row, its_top, its_high, other in every
        if 0 < abs(its_row - row) <= _ROWS_OFF
        and 1 / _AS_HIGH < its_high / high < _AS_HIGH
        and other.patch.x < end
        and other.patch.x + other.patch.print.shape[1] > start
    ]
    alike = _likeness(rivals, fine, np.zeros((len(rivals), 2)), [_REACH] * len(rivals), _FAR)
    return replace(label, rivals=tuple(patch for patch, like in zip(rivals, alike, strict=True) if like < _SAME_LABEL))


def label_probability(
    labels: Sequence[RowLabel], reference: Reference, place: Place, seen: Contrast, border: int
) -> npt.NDArray[np.float64]:
    """How probable it is, (N,), 0 to 1, that what each field is printed beside is its own label.

    labels: those that lie on paper. seen: as `refine.look` gives it, with `border`.
    """
    made = np.ones(len(reference.spec.fields))
    if not labels:
        return made
    own, rival = _compared(labels, reference, place, seen, border)
    there = (own > rival + _OVER) | ((own > _SEEN) & (own > rival - _OVER))
    usual = float(np.median(own[there])) if there.any() else _SEEN
    others = (rival > max(_SEEN, _OF_USUAL * usual)) & (rival > own + _OVER)
    strange = ~others & ~(there & (own > _OF_USUAL * usual))
    named = own > _SOMETHING
    if len(labels) >= _SOME and ((others | strange) & named).sum() > _MOST_OTHER * len(labels):
        if len({label.row for label in labels}) >= _FEW:
            others |= strange & named
        else:
            made[:] = _OTHER  # nor is a row without a label proved, or one whose name is alike by chance
    for label, one, other in zip(labels, others, strange, strict=True):
        at = list(label.fields)
        made[at] = np.minimum(made[at], NEIGHBOURS if one else _OTHER if other else 1.0)
    return made


def _compared(
    labels: Sequence[RowLabel], reference: Reference, place: Place, seen: Contrast, border: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How like its own print each label is, (L,), and how like that of the rival that fits best there."""
    unit = max(reference.size) / FINE
    middles = np.array([label.patch.middle for label in labels]).reshape(-1, 2)
    bend = place.bend(middles * unit, max(reference.size)) / unit
    patches = [label.patch for label in labels]
    own, rival = _likeness(patches, seen, bend, [_REACH] * len(labels), border), np.zeros(len(labels))
    doubted = np.flatnonzero(own < max(_SEEN, _OF_USUAL * float(np.median(own))))
    for k in doubted.tolist():
        reach = labels[k].reach
        some = [labels[k].patch, *labels[k].rivals]
        likeness = _likeness(some, seen, np.repeat(bend[k : k + 1], len(some), 0), [reach] * len(some), border)
        own[k], rival[k] = max(own[k], likeness[0]), max(likeness[1:], default=0.0)
    return own, rival


def _likeness(
    patches: Sequence[Patch], seen: Contrast, moved: npt.NDArray[np.float64], reach: Sequence[int], border: int
) -> npt.NDArray[np.float64]:
    likeness = np.zeros(len(patches))
    found, sights = find(patches, seen, np.array(reach, np.int64), moved, border=border)
    likeness[found] = sights.likeness
    return likeness
