"""Which training pictures are test pictures in another dress.

MNIST was drawn from the forms of NIST Special Database 19, so a NIST character can be an MNIST test
digit. `threshold_between` and `nearest_correlation` leave no likeness standing, and drop much that only looks alike;
`twins` finds the pairs that are the same writing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

FLOOR, RATIO = 0.98, 0.4  # of twins
_SIDE, _SPREAD, _BLUR, _BLOCK = 24, 6.5, 0.14, 2048


@dataclass(frozen=True, slots=True, eq=False)
class Twins:
    """Pairs of pictures of the same writing: images[rows[k]] and others[partners[k]].

    rows: (K,) ascending, each at most once. partners: (K,). correlation: (K,) of the pair once aligned, FLOOR to 1.
    """

    rows: Rows
    partners: Rows
    correlation: Floats

    def __len__(self) -> int:
        return len(self.rows)


def _unit(images: Images) -> Floats:
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(norm, 1e-6), np.float32)


def nearest_correlation(images: Images, others: Images, block: int = 2000) -> Floats:
    """For each of (N, H, W) images, the highest normalised correlation, -1 to 1, with any of the others."""
    theirs = _unit(others).T
    rows = [(_unit(images[i : i + block]) @ theirs).max(1) for i in range(0, len(images), block)]
    return np.concatenate(rows) if rows else np.zeros(0, np.float32)


def threshold_between(
    images: Images, labels: npt.NDArray[np.int64], others: Images, other_labels: npt.NDArray[np.int64]
) -> float:
    """The highest correlation among pairs that cannot be the same character: those whose labels differ.

    One pair in ten thousand is set aside, since either set has a few wrong labels.
    """
    best = [nearest_correlation(images[labels == label], others[other_labels != label]) for label in np.unique(labels)]
    return float(np.quantile(np.concatenate(best), 0.9999))


def aligned(images: Images) -> Images:
    """(N, H, W) light ink on black, each moved and scaled, to parts of a pixel, to one centre and spread of ink.

    Returns (N, 24, 24). Two prints of one piece of writing then lie on each other, however it was cut out and resized.
    """
    out = np.zeros((len(images), _SIDE, _SIDE), np.uint8)
    for place, image in zip(out, images, strict=True):
        m = cv2.moments(image)
        if m["mu20"] + m["mu02"] == 0:
            continue
        spread = np.sqrt((m["mu20"] + m["mu02"]) / m["m00"])
        zoom = _SPREAD / spread
        dx, dy = ((_SIDE - 1) / 2 - zoom * m[first] / m["m00"] for first in ("m10", "m01"))
        soft = cv2.GaussianBlur(image, (0, 0), _BLUR * spread)
        cv2.warpAffine(soft, np.array([[zoom, 0, dx], [0, zoom, dy]]), (_SIDE, _SIDE), dst=place)
    return out


def twins(images: Images, others: Images, labels: Labels | None = None, other_labels: Labels | None = None) -> Twins:
    """Pairs of `images` (N, H, W) and `others` (M, H, W), light ink on black, of the same writing.

    Two pictures are twins if, once aligned, they correlate at least at `FLOOR`, each is the other's nearest, and for
    both (1 - correlation) is at most `RATIO` times that to the second nearest (Lowe 2004, section 7.1): a plain stroke
    is like many others, a copy is like one. Equal copies within a set count as one picture; each of `images` is
    reported. Where both labels (N,) and (M,) are given, twins have the same one. Works in blocks, so memory beyond the
    two sets is some 50 MB and 1.2 kB a picture; a core does 10,000 x 60,000 in about 20 s.
    """
    ours, _, copies = _distinct(aligned(images))
    theirs, firsts, _ = _distinct(aligned(others))
    partner, best, clear = _two_nearest(ours, theirs)
    rows = np.flatnonzero((best >= FLOOR) & (clear <= RATIO))
    back, _, clear = _two_nearest(theirs[partner[rows]], ours)
    rows = rows[(back == rows) & (clear <= RATIO)]
    kept = np.full(len(ours), False)
    kept[rows] = True
    found = np.flatnonzero(kept[copies])
    partners = firsts[partner[copies[found]]]
    if labels is not None and other_labels is not None:
        same = labels[found] == other_labels[partners]
        found, partners = found[same], partners[same]
    return Twins(found, partners, best[copies[found]])


def _distinct(images: Images) -> tuple[Images, Rows, Rows]:
    """The pictures without equal copies, where the first of each is, and which of them each picture equals."""
    rows = images.reshape(len(images), _SIDE * _SIDE).view(f"V{_SIDE * _SIDE}")[:, 0]
    _, firsts, copies = np.unique(rows, return_index=True, return_inverse=True)
    return images[firsts], firsts, copies


def _two_nearest(images: Images, others: Images) -> tuple[Rows, Floats, Floats]:
    """For each image its nearest of the others, their correlation, and how much clearer that is than the second.

    The last is (1 - first) / (1 - second): 0 a lone copy, 1 no clearer at all.
    """
    nearest = np.zeros(len(images), np.int64)
    first = np.full(len(images), -1, np.float32)
    second = first.copy()
    for j in range(0, len(others), _BLOCK):
        theirs = _unit(others[j : j + _BLOCK]).T
        for i in range(0, len(images), _BLOCK):
            here = slice(i, i + _BLOCK)
            all_of = _unit(images[here]) @ theirs
            at = all_of.argmax(1)[:, None]
            best = np.take_along_axis(all_of, at, 1)[:, 0]
            np.put_along_axis(all_of, at, -1, 1)
            second[here] = np.maximum.reduce([np.minimum(best, first[here]), second[here], all_of.max(1)])
            nearest[here] = np.where(best > first[here], at[:, 0] + j, nearest[here])
            first[here] = np.maximum(best, first[here])
    clear = np.maximum(1 - first, 0) / np.maximum(1 - second, 1e-6)
    return nearest, first, clear.astype(np.float32)
