"""What a page is: too small or too dark to be any, blank, or of which form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Pixels, Points
from inkshift.errors import TemplateError
from inkshift.forms.template import Template
from inkshift.reframe import to_gray

# A page of fewer pixels than an eighth of its template, each way, is read by nobody: a field of 60 pixels has 7.
_LEAST_SCALE = 1 / 8
# How many times as high as wide a picture of numbers may be: more, and a digit 40 pixels high is none wide.
_TALLEST = 60
# How much more probable than any other a template must be to be believed: twice as likely.
_LEAST_ODDS = 2.0
# Pixels of the longer side at which a page is looked at for ink: about 150 dots per inch of A4.
_LOOK = 1600
# Pixels of the longer side at which a full page is known at a glance, and the share of them that are then marked.
_GLANCE, _FULL = 400, 0.03
# A page that covers this share of a picture leaves no room for another, whose marks must be this share of its own.
_NO_ROOM, _A_PAGE = 0.75, 0.25
# Gray levels under its surroundings from which a pixel counts as marked. Print that shines through from the other side
# is fainter; pale pencil is about as dark.
_FAINT = 24
# The least mark that is no speck of dust, and the rim in which scanners leave shadows, as shares of the longer side.
_SPECK, _RIM = 0.008, 0.03
# Shares of the longer side, 297 mm of A4: the least and largest punched hole, how far from an edge the middle of one
# is at most, which is also where page numbers stand, and the largest page number.
_HOLE, _MARGIN = (0.012, 0.034), 0.085
_NUMBER_HIGH, _NUMBER_WIDE = 0.0135, 0.1
# How much the area of a hole differs at most from that of an ellipse of its width and height: a square has 0.27 more.
_ROUND = 0.15


def find_templates(given: str | Path | Sequence[str | Path]) -> list[str]:
    """The template files that are meant, each once: files as given, folders by the `.json` files in them.

    Raises TemplateError for a folder without one.
    """
    files: list[str] = []
    for path in [given] if isinstance(given, str | Path) else given:
        if path and Path(path).is_dir():
            inside = sorted(file for file in Path(path).rglob("*.json") if not file.name.startswith("."))
            if not inside:
                raise TemplateError(f"{path}: expected a template in this folder, found no .json file; check the path")
            files += map(str, inside)
        elif path:
            files.append(str(path))
    return list(dict.fromkeys(files))


def why_unfit(image: Pixels, templates: Sequence[Template]) -> str:
    """Why a page, (H, W) or (H, W, 3) uint8, is of no form at all: too small, or all black; empty if it may be one."""
    height, width = image.shape[:2]
    sides = [min(page.size) for template in templates for page in template.pages]
    if not sides:
        tall = height > _TALLEST * width
        return f"the picture of {width} x {height} pixels is too narrow for a number; cut it wider" if tall else ""
    if min(height, width) < _LEAST_SCALE * min(sides):
        return f"the page has {width} x {height} pixels, too few to read; scan it at 200 dots per inch or more"
    if np.percentile(image[:: max(1, height // 500), :: max(1, width // 500)], 99) < 32:
        return "the page is all black; scan it again"
    return ""


def is_blank_page(image: Pixels) -> bool:
    """Whether nothing is written or printed on a page, (H, W) or (H, W, 3) uint8: the back of a form, most often.

    Dust, the paper's grain, shadows at the rim and what shines through faintly from the other side do not count; a
    stroke of a pen does. An area all of one gray is blank, if it is lighter than half.
    """
    marks = _marks(image)
    return marks is not None and not len(marks)


def is_bare_back(image: Pixels) -> bool:
    """Whether a page, (H, W) or (H, W, 3) uint8, has punched holes on it or a page number, and nothing else.

    Holes are discs, dark or light, of 3.5 to 10 mm on A4, all along one edge. A page number is a line of print, at most
    4 mm high and 30 mm wide, alone in the top or bottom 25 mm. Nothing fainter is looked for: a page on which a form
    may be seen is to be laid first.
    """
    marks = _marks(image)
    if marks is None:
        return False
    small = _reduced(to_gray(image), _LOOK)
    holes = _holes(small)
    # The paper is filled with what is four pixels around, so that much of a light hole's surroundings is marked.
    around = holes + np.array([-5, -5, 5, 5])
    left = [m for m in marks if not ((m[:2] >= around[:, :2]) & (m[2:] <= around[:, 2:])).all(1).any()]
    if not left:
        return True
    long = max(small.shape)
    corners = np.array(left)
    (x0, y0), (x1, y1) = corners[:, :2].min(0), corners[:, 2:].max(0)
    in_margin = y1 < _MARGIN * long or y0 > small.shape[0] - _MARGIN * long
    return bool(in_margin and y1 - y0 < _NUMBER_HIGH * long and x1 - x0 < _NUMBER_WIDE * long)


def _marks(image: Pixels) -> npt.NDArray[np.int32] | None:
    """The marks on a page that are no specks: left, top, right and bottom, (N, 4), in pixels of the page reduced to
    `_LOOK`; None for a page that is full of them, dark, or a mere strip.
    """
    few = _reduced(to_gray(_reduced(image, 2 * _GLANCE, cv2.INTER_NEAREST)), _GLANCE)
    notch = cv2.morphologyEx(few, cv2.MORPH_BLACKHAT, np.ones((7, 7), np.uint8))
    if float((notch > _FAINT).mean()) > _FULL:
        return None
    small = _reduced(to_gray(image), _LOOK)
    long = max(small.shape)
    rim = round(_RIM * long)
    inner = small[rim : small.shape[0] - rim, rim : small.shape[1] - rim]
    if min(inner.shape) < 8 or np.median(inner) < 128:
        return None
    # The paper: what is left when all that is narrower than a broad stroke is filled with its surroundings.
    paper = cv2.medianBlur(cv2.dilate(inner, np.ones((9, 9), np.uint8)), 31)
    under = cv2.subtract(paper, cv2.medianBlur(inner, 3))
    grain = float(np.median(under)) + 6 * float(np.median(np.abs(under.astype(np.int16) - int(np.median(under)))))
    boxes = _components(under > max(_FAINT, grain))[:, :4] + rim
    return np.asarray(boxes[(boxes[:, 2:] - boxes[:, :2]).max(1) >= _SPECK * long], np.int32)


def _holes(page: Pixels) -> npt.NDArray[np.int32]:
    """Punched holes in a page, (H, W) uint8: left, top, right and bottom, (N, 4), pixels. None where any disc is away
    from the edge that most are along: marks of a form lie at several.
    """
    long = max(page.shape)
    smooth = cv2.medianBlur(page, 3)
    paper = cv2.medianBlur(smooth, 3 * round(_HOLE[1] * long / 2) | 1)
    discs = [np.empty((0, 4), np.int32)]
    for off in (cv2.subtract(paper, smooth), cv2.subtract(smooth, paper)):
        found = _components(off > _FAINT)
        width, height = (found[:, 2:4] - found[:, :2]).T
        size = np.maximum(width, height)
        fill = found[:, 4] / (width * height * np.pi / 4)
        is_disc = (np.minimum(width, height) > 0.8 * size) & (np.abs(fill - 1) < _ROUND)
        discs.append(found[is_disc & (size > _HOLE[0] * long) & (size < _HOLE[1] * long), :4])
    holes = np.concatenate(discs)
    for side, extent in ((0, page.shape[1]), (1, page.shape[0])):
        at = (holes[:, side] + holes[:, side + 2]) / 2
        for away in (at, extent - at):
            if len(away) and away.max() < _MARGIN * long:
                return holes
    return holes[:0]


def _components(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """The connected parts of a mask: left, top, right, bottom and area, (N, 5)."""
    _, _, found, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    x, y, width, height, area = found[1:].T
    return np.stack([x, y, x + width, y + height, area], 1).astype(np.int32)


def beside(image: Pixels, outline: Points) -> Pixels | None:
    """A picture, (H, W) or (H, W, 3) uint8, with what a page covers made paper, by its outline, (4, 2) pixels; None
    where too little is marked beside it to be another page.
    """
    high, wide = image.shape[:2]
    corners = outline.astype(np.float32)
    if len(outline) < 4 or cv2.contourArea(corners) > _NO_ROOM * high * wide:
        return None
    few = _reduced(to_gray(_reduced(image, 2 * _GLANCE, cv2.INTER_NEAREST)), _GLANCE)
    marked = cv2.morphologyEx(few, cv2.MORPH_BLACKHAT, np.ones((7, 7), np.uint8)) > _FAINT
    scale = few.shape[1] / wide
    page = np.zeros(few.shape, np.uint8)
    cv2.fillConvexPoly(page, np.rint(corners * scale).astype(np.int32), (1,))
    # The edge of the paper is no mark on another.
    around = cv2.dilate(page, np.ones((9, 9), np.uint8)) > 0
    around[:4] = around[-4:] = around[:, :4] = around[:, -4:] = True
    if (marked & ~around).sum() < _A_PAGE * (marked & (page > 0)).sum():
        return None
    rest = image.copy()
    paper = tuple(float(v) for v in np.atleast_1d(np.median(image[::8, ::8].reshape(-1, *image.shape[2:]), axis=0)))
    cv2.fillConvexPoly(rest, np.rint(corners).astype(np.int32), paper)
    return rest


def in_rows(outlines: Sequence[Points]) -> list[int]:
    """The order in which people read pages, by their outlines, (4, 2) each: from left to right, row by row."""
    middles = [outline.mean(0) for outline in outlines]
    high = float(np.median([np.ptp(outline[:, 1]) for outline in outlines])) or 1.0
    left, order = sorted(range(len(outlines)), key=lambda k: middles[k][1]), list[int]()
    while left:
        row = [k for k in left if middles[k][1] < middles[left[0]][1] + high / 2]
        order += sorted(row, key=lambda k: middles[k][0])
        left = [k for k in left if k not in row]
    return order


def _reduced(image: Pixels, longest: int, how: int = cv2.INTER_AREA) -> Pixels:
    """A picture made smaller, where its longer side has more pixels than `longest`."""
    scale = min(1.0, longest / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def likeliest(qualities: Sequence[float]) -> list[int]:
    """Which templates a page may be of, given how probable each is, 0 to 1: one, if twice as likely as the others.

    The odds are compared, not the probabilities: 0.99 is ten times as likely to be right as 0.9.
    """
    odds = [min(max(q, 0.001), 0.999) / (1 - min(max(q, 0.001), 0.999)) for q in qualities]
    return [i for i, own in enumerate(odds) if own * _LEAST_ODDS > max(odds)]


def unknown_form(templates: Sequence[Template], alike: Sequence[Template | None]) -> str:
    """Why a page was read by none of several templates. alike: those that it fits about as well as one another."""
    names = [template.name for template in alike if template] or [template.name for template in templates]
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    if alike:
        return f"the page fits {len(names)} templates alike ({listed}); leave one out, or add what tells them apart"
    return f"unknown form: the page fits none of the {len(names)} templates ({listed}); is it scanned whole?"
