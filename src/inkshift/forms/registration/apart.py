"""Which of two designs a page is of that fits both alike, by print in which they differ, such as a page number."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms.registration.reference import FINE, Reference
from inkshift.forms.registration.refine import seen_there
from inkshift.forms.registration.registered import RegisteredPage
from inkshift.forms.registration.scan import Contrast, Scan, inverse
from inkshift.reframe import to_gray

# By how much more contrast than another print has as far as so many pixels beside it is another print, and how near to
# each other are parts of one word.
_DARKER, _BESIDE, _WORD = 0.4, 1, 7
# Pixels around a word that are compared with it, and how far it is looked for.
_AROUND, _REACH = 4, 6
_FINER = 4
# How like its print a word is on a page that has it, and by how much less like that of another design, as a share of
# what the two differ in: a printed 2, 4 mm high, against a 3 had 0.3 and more at 75 to 200 dots to the inch.
_SEEN, _OVER = 0.6, 0.2
_SAME = 0.93  # likeness of two words that are one


def shows_other(page: RegisteredPage, design: Reference, other_page: RegisteredPage, other: Reference) -> bool:
    """Whether a page, laid on two designs, shows print of the other one somewhere where the first has other print, or
    none; and nowhere the other way round. What neither shows says nothing: it may have been somebody's ink.
    """
    if page.turn != other_page.turn or design.drawn != other.drawn:
        return False
    high, wide = design.fine.shape
    to_fine = design.scaled(FINE)
    step = to_fine @ inverse(page.matrix) @ other_page.matrix @ inverse(other.scaled(FINE))
    moved = np.asarray(cv2.warpPerspective(other.fine, step, (wide, high)), np.float32)
    to_fine[:2, 2] += _REACH
    size = wide + 2 * _REACH, high + 2 * _REACH
    seen, _ = seen_there(Scan(to_gray(page.image)), design, page.matrix @ inverse(to_fine), size, FINE)
    around = np.pad(moved, _REACH)
    differ = _exceeds(design.fine, moved) | _exceeds(moved, design.fine)
    told = False
    words = cv2.dilate(differ.astype(np.uint8), np.ones((_WORD, _WORD), np.uint8))
    for x, y, w, h in cv2.connectedComponentsWithStats(words)[2][1:, :4].tolist():
        rows = slice(max(y - _AROUND, 0), min(y + h + _AROUND, high))
        columns = slice(max(x - _AROUND, 0), min(x + w + _AROUND, wide))
        wider = slice(rows.start, rows.stop + 2 * _REACH), slice(columns.start, columns.stop + 2 * _REACH)
        print_, others = design.fine[rows, columns], moved[rows, columns]
        # What is a little aside is no other print: the page lies on each design as it fits that one best.
        if (alike := _likeness(np.asarray(around[wider], np.float32), print_)) > _SAME:
            continue
        over = _over(seen[wider], print_, others, alike)
        if over > _OVER:
            return False
        told |= over < -_OVER
    return told


def _exceeds(print_: Contrast, other: Contrast) -> npt.NDArray[np.bool_]:
    side = 2 * _BESIDE + 1
    return np.asarray(print_ > cv2.dilate(other, np.ones((side, side), np.uint8)) + _DARKER, np.bool_)


def _over(window: Contrast, print_: Contrast, other: Contrast, alike: float) -> float:
    """By how much more like one print than like another a part of a page is: 1 where it is just the one, -1 where just
    the other, 0 where it is like neither. alike: how like each other they are."""
    one, two = _likeness(window, print_), _likeness(window, other)
    more, less = max(one, two), min(one, two)
    if more < _SEEN:
        return 0.0
    return float(np.sign(one - two)) * (1 - (less / more) ** 2) / (1 - alike**2)


def _likeness(window: Contrast, print_: Contrast) -> float:
    if not print_.any():
        return 0.0
    # Half a pixel aside, two digits are as like each other as each is to itself.
    there, wanted = (
        cv2.resize(part, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_CUBIC) for part in (window, print_)
    )
    found = cv2.matchTemplate(there, wanted, cv2.TM_CCOEFF_NORMED)
    return max(float(found.max()), 0.0)
