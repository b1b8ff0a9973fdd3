"""A page that lies on its template: its darkness, once for all that is read of it, and its fields cut out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from inkshift.arrays import Pixels
from inkshift.forms.cut import cutout
from inkshift.forms.cut import ink as inks
from inkshift.forms.field.tick import ROOM
from inkshift.forms.kinds import WITH_DIGITS
from inkshift.forms.page.guides import without_guides
from inkshift.forms.page.place import Box
from inkshift.forms.page.strokes import PASSED, strokes_through
from inkshift.forms.registration.registered import TALLEST_FIELD, RegisteredPage, cut
from inkshift.forms.template import FieldSpec, PageSpec
from inkshift.reframe import to_gray

# Template pixels around a field that are cut with it, as a share of its height: digits leave their boxes.
MARGIN = 0.18
# Pixels in height that are kept of a text, which may have several lines.
_TALLEST_TEXT = 400


@dataclass(frozen=True, slots=True)
class LaidPage:
    """A page on a design of its template, or as it is, without one. dark: its darkness, (H, W) uint8. blank: the
    darkness of the blank form, where there is a picture of it. by_number: the design is known by the page's number in
    its file alone."""

    design: int
    page: RegisteredPage
    spec: PageSpec | None
    dark: Pixels = field(default_factory=lambda: np.zeros((0, 0), np.uint8), repr=False)
    blank: RegisteredPage | None = None
    by_number: bool = False

    @property
    def stretch(self) -> float:
        """How many times wider for its height the page lies than its design is; 1 without one."""
        if self.spec is None:
            return 1.0
        (wide, high), at = self.spec.size, self.page.outline
        across, down = (at[1] - at[0], at[2] - at[3]), (at[3] - at[0], at[2] - at[1])
        return sum(math.hypot(*one) for one in across) / sum(math.hypot(*one) for one in down) * high / wide


def blank_of(spec: PageSpec, reference: Pixels) -> RegisteredPage:
    """The darkness of the blank form from its picture, (H, W) uint8."""
    return RegisteredPage(inks.darkness(reference, _window(spec, 1.0)), np.eye(3), 1.0, 0, 0)


def darkened(laid: LaidPage, blank: RegisteredPage | None) -> LaidPage:
    """A page on a template with its darkness and that of the blank form.

    Coloured print is not dropped by its colour where the blank form tells where print is: a pen may share it.
    """
    assert laid.spec is not None
    image = laid.page.image if blank is None else to_gray(laid.page.image)
    return replace(laid, dark=inks.darkness(image, _window(laid.spec, laid.page.scale)), blank=blank)


def cut_out(laid: LaidPage, strokes: bool = True) -> list[cutout.FieldJob]:
    """What is to be read of a page, field by field. strokes: whether those over several fields are looked for."""
    assert laid.spec is not None
    specs = laid.spec.fields
    work = [_job(laid.page, laid.dark, spec, laid.blank) for spec in specs]
    if laid.blank is None:
        work = without_guides(work)
    return _with_strokes(work, specs, laid.page, laid.dark, laid.blank) if strokes else work


def _window(page: PageSpec, scale: float) -> int:
    """Pixels within which paper shows beside the ink, `scale` to one of the template: one and a half fields high."""
    heights = [spec.box[3] for spec in page.fields if spec.kind in WITH_DIGITS] or [s.box[3] for s in page.fields]
    return round(1.5 * float(np.median(heights)) * scale) if heights else 0


def _job(page: RegisteredPage, dark: Pixels, spec: FieldSpec, blank: RegisteredPage | None) -> cutout.FieldJob:
    x, y, w, h = spec.box
    margin = (ROOM if spec.kind == "tick" else MARGIN) * h
    read = spec.kind in WITH_DIGITS or spec.order
    tallest = TALLEST_FIELD if read else _TALLEST_TEXT
    cut_dark, scale = cut(dark, page, (x, y, w, h), margin, 0, tallest)
    crop = cut(page.image, page, (x, y, w, h), margin, page.paper, tallest)[0]
    m = round(margin * scale)
    frame = (m, m, m + round(w * scale), m + round(h * scale))
    kind: cutout.Kind = "cells" if spec.cells else "number"
    if not read:
        kind = "tick" if spec.kind == "tick" else "text"
    limit = spec.limit
    largest = None if spec.max is None else spec.max * 10**limit.places
    job = cutout.FieldJob(
        *(spec.name, kind, crop, cut_dark, frame, spec.cells, spec.digits, largest, spec.frame),
        places=limit.places,
        signed=spec.signed,
    )
    return cutout.own(job, None if blank is None else _cut_blank(blank, spec, margin, cut_dark.shape[::-1]))


def _with_strokes(
    work: list[cutout.FieldJob],
    specs: Sequence[FieldSpec],
    page: RegisteredPage,
    dark: Pixels,
    blank: RegisteredPage | None,
) -> list[cutout.FieldJob]:
    """The fields of a page with what long strokes over several of them say; those that the form brings say nothing."""
    boxes = [box for spec in specs for box in _cell_boxes(spec)]
    passed = strokes_through(page, dark, boxes)
    if not passed.any():
        return work
    if blank is not None:
        passed &= ~strokes_through(blank, blank.image, boxes)
    out, at = [], 0
    for job, spec in zip(work, specs, strict=True):
        count = max(spec.cells, 1)
        own = passed[at : at + count]
        # A stroke through one cell of several may mean the field, or be none: a person is to look.
        sure = tuple((PASSED if own.all() else 0.5) * float(one) for one in own)
        at += count
        if max(sure):
            job = replace(job, passed=sure) if spec.cells else replace(job, struck=max(job.struck, sure[0]))
        out.append(job)
    return out


def _cell_boxes(spec: FieldSpec) -> list[Box]:
    """The boxes of a field's cells, or its own, x, y, width, height in pixels of the template."""
    x, y, w, h = spec.box
    count = max(spec.cells, 1)
    return [(x + w * k / count, y, w / count, h) for k in range(count)]


def _cut_blank(blank: RegisteredPage, spec: FieldSpec, margin: float, size: tuple[int, ...]) -> Pixels:
    """The darkness of the blank form where a field is, as wide and high as the field's crop."""
    darkness = cut(blank.image, blank, spec.box, margin, 0)[0]
    return np.asarray(cv2.resize(darkness, size[:2], interpolation=cv2.INTER_AREA), np.uint8)
