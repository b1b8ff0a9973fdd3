"""Pieces of ink: where they are, how high, which of them a mask shows."""

from __future__ import annotations

import numpy as np

from inkshift.arrays import Box, Labels, Mask
from inkshift.forms.table.rows import Piece

# Shares of the digit height: what is lower shows no column; what is lower along a column of pixels is a stroke between
# digits.
SMALL, STROKE = 0.3, 0.3


def extents(own: Mask) -> Labels:
    """How many pixels there are from the highest to the lowest ink in each column of pixels of a mask; 0 for none."""
    high = own.shape[0] - own.argmax(0) - own[::-1].argmax(0)
    return np.where(own.any(0), high, 0).astype(np.int32)


def runs_of(on: Mask) -> Labels:
    """First and last, the last left out, of each run: (N, 2)."""
    ends = np.flatnonzero(np.diff(np.concatenate(([0], on.view(np.int8), [0]))))
    return ends.reshape(-1, 2).astype(np.int32)


def extent(own: tuple[int, ...], pieces: list[Piece]) -> Box:
    """xmin, ymin, xmax, ymax of some pieces, by their numbers from 0."""
    boxes = np.array([pieces[k][:4] for k in own])
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def among(labels: Labels, own: tuple[int, ...]) -> Mask:
    """Where a map of pieces, numbered from 1, shows one of these, numbered from 0."""
    wanted = np.zeros(max(int(labels.max(initial=0)), max(own, default=0) + 1) + 1, np.bool_)
    wanted[[k + 1 for k in own]] = True
    return np.asarray(wanted[labels], np.bool_)
