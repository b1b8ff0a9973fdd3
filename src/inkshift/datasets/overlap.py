"""Which training pictures are test pictures in another dress.

MNIST was drawn from the forms of NIST Special Database 19, so a NIST character can be an MNIST test
digit. Both are reframed alike and compared by normalised correlation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]


def _unit(images: Images) -> npt.NDArray[np.float32]:
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(norm, 1e-6), np.float32)


def nearest_correlation(images: Images, others: Images, block: int = 2000) -> npt.NDArray[np.float32]:
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
