"""Our reading of the pipeline of Pacchiotti et al. 2023, kept as the mark to beat.

Section 3.2: the digits of a number are extracted with OpenCV (which operation the paper does not say; here
connected components of the thresholded picture). Section 3.4: each is made one colour, padded to a square,
given a margin like MNIST's, resized to 28 x 28 and inverted. No lattice, no reject class.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms.cut.cutout import FieldJob
from inkshift.forms.field.fields import PreparedField, Probabilities
from inkshift.forms.reading import DIGITS, EMPTY, Candidate, CellReading, FieldReading, state_of
from inkshift.reframe import Reframing, to_gray

# A component lower than this share of the crop is a speck or a rule.
_LOWEST = 0.3
# A component as wide as the crop that fills less than this share of its box is a frame around the number.
_THINNEST = 0.15


def prepare(job: FieldJob, reframing: Reframing) -> PreparedField:
    """Cut a field into the pictures of its connected components, from left to right."""
    x0, y0, x1, y1 = job.frame
    inset = round(0.08 * (y1 - y0)) if job.printed else 0
    gray = to_gray(job.crop)[y0 + inset : y1 - inset, x0 + inset : x1 - inset]
    white = np.asarray(cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1], np.uint8)
    boxes = [_whole(white)] if job.kind == "digit" else _components(white)
    pictures = [reframing(white[y0:y1, x0:x1], ground=255) for x0, y0, x1, y1 in boxes]

    def finish(probabilities: Probabilities) -> FieldReading:
        best = probabilities[:, :10].argmax(1) if len(probabilities) else np.zeros(0, int)
        sure = [float(probabilities[i, d]) for i, d in enumerate(best)]
        written = "".join(DIGITS[d] for d in best) or EMPTY
        confidence = float(np.prod(sure)) if sure else 0.0
        cells = tuple(CellReading(DIGITS[d], p, box) for d, p, box in zip(best, sure, boxes, strict=True))
        state = state_of(written)
        value = written if state == "written" else ""
        return FieldReading(job.name, value, written, state, confidence, (Candidate(written, confidence),), cells)

    return PreparedField(pictures, finish)


def _components(white: npt.NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(cv2.bitwise_not(white))
    x, y, w, h, area = stats[1:].T
    frame = (w > 0.8 * white.shape[1]) & (area < _THINNEST * w * h)
    keep = (h >= _LOWEST * white.shape[0]) & ~frame
    return sorted(zip(x[keep].tolist(), y[keep].tolist(), (x + w)[keep].tolist(), (y + h)[keep].tolist(), strict=True))


def _whole(white: npt.NDArray[np.uint8]) -> tuple[int, int, int, int]:
    x, y, w, h = cv2.boundingRect(cv2.bitwise_not(white))
    return (x, y, x + w, y + h) if w and h else (0, 0, white.shape[1], white.shape[0])
