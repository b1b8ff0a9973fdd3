"""Reading digits out of the probabilities of a line recogniser: connectionist temporal classification.

Graves et al. 2006. A recogniser gives, for each step along the line, the probability of the ten digits and of the
blank: (T, 11) float32, rows that sum to 1, the blank last. A number's probability is the sum over all ways to write
it with repeats and blanks between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LineProbabilities = npt.NDArray[np.float32]

# Of the recognisers that ship: pixels of a picture's height, and along the line to a step.
HEIGHT, STRIDE = 32, 4
BLANK = 10
_FLOOR = 1e-6
_UNLIKELY = 1e-3
# Steps after which sums of paths are scaled: no step takes more than the floor from them.
_SCALED = 32
# Log-probability of a text that a line is too short for.
_NEVER = -700.0


def fold(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probabilities (..., classes) with marks as (..., 11): those of the marks are added to the blank's.

    A mark between two digits parts them as a blank does.
    """
    if probabilities.shape[-1] == BLANK + 1:
        return probabilities
    rest = probabilities[..., BLANK:].sum(-1, keepdims=True)
    return np.concatenate([probabilities[..., :BLANK], rest], -1)


def under(probabilities: npt.NDArray[np.float32], mark: int) -> npt.NDArray[np.float32]:
    """Probabilities (T, classes) with what is struck out as the digits that it looks most like.

    mark: the class of what is struck out. Its share goes to the ten digits, in proportion to what they have.
    """
    out = probabilities.copy()
    digits = np.maximum(out[:, :BLANK], 1e-9)
    out[:, :BLANK] += out[:, mark : mark + 1] * digits / digits.sum(1, keepdims=True)
    out[:, mark] = 0
    return out


def collapse(symbols: npt.NDArray[np.int64], alphabet: str = "0123456789") -> str:
    """What a symbol for each step, (T,), writes by its place in the alphabet: repeats once, all behind it left out."""
    fresh = np.concatenate([[True], symbols[1:] != symbols[:-1]])
    return "".join(alphabet[i] for i in symbols[fresh & (symbols < len(alphabet))])


def beam(
    lines: Sequence[LineProbabilities], digits: tuple[int, int] = (1, 8), largest: int | None = None, width: int = 8
) -> list[list[tuple[str, float]]]:
    """For each line its likeliest numbers, best first, each with its probability: prefix beam search, all at once.

    Hannun et al. 2014. lines: (T, 11) each, of any T. digits: fewest and most digits; (0, 0) may give the empty text.
    largest: largest value. width: how many beginnings are followed; symbols below one in a thousand are not.
    A probability too small for a float64 is 0.0; its text is given in its place all the same.
    """
    if not lines:
        return []
    rows = _stacked([_without_idle_steps(line) for line in lines])
    rows[..., :BLANK] *= rows[..., :BLANK] > _UNLIKELY
    found = _start(len(lines), width, digits[1])
    # Hundreds of steps of an unsure model leave less than a float64 holds, so that each step is scaled to about 1: by a
    # power of two, which changes no bit of what is compared.
    power = np.zeros((len(lines), 1), np.int64)
    for at in range(rows.shape[1]):
        found = _grow(found, rows[:, at])
        over = np.frexp((found.ends + found.ended).max(1, keepdims=True))[1]
        found = found._replace(ends=np.ldexp(found.ends, -over), ended=np.ldexp(found.ended, -over))
        power += over
    out = []
    scores, powers = found.ends + found.ended, power[:, 0].tolist()
    for symbols, lengths, own, k in zip(
        found.symbols.tolist(), found.lengths.tolist(), scores.tolist(), powers, strict=True
    ):
        texts = ("".join(map(str, row[:n])) for row, n in zip(symbols, lengths, strict=True))
        given = [(text, p) for text, p in zip(texts, own, strict=True) if p > 0 and allowed(text, digits, largest)]
        out.append([(text, math.ldexp(p, k)) for text, p in sorted(given, key=lambda item: -item[1])])
    return out


def _without_idle_steps(line: LineProbabilities) -> LineProbabilities:
    """A line with one of each run of steps that are surely blank: the others would change nothing."""
    idle = line[:, BLANK] > 1 - _UNLIKELY
    return np.asarray(line[np.concatenate([[True], ~(idle[1:] & idle[:-1])])])


def _stacked(lines: Sequence[LineProbabilities]) -> npt.NDArray[np.float64]:
    """Lines of any length as (N, T, 11); blank where one has ended."""
    rows = np.zeros((len(lines), max(map(len, lines)), BLANK + 1))
    rows[..., BLANK] = 1
    for row, line in zip(rows, lines, strict=True):
        row[: len(line)] = line
    return rows


class _Prefixes(NamedTuple):
    """Beginnings of N numbers, W of each.

    ends, ended: (N, W) probability of one whose last step was blank, or its last digit; 0 where a place is not used.
    symbols: (N, W, L) its digits. lengths: (N, W). keys, parents: (N, W) name it, and it less its last digit; 0: none.
    """

    ends: npt.NDArray[np.float64]
    ended: npt.NDArray[np.float64]
    symbols: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]
    parents: npt.NDArray[np.uint64]


def _start(count: int, width: int, longest: int) -> _Prefixes:
    ends, keys = np.zeros((count, width)), np.zeros((count, width), np.uint64)
    ends[:, 0], keys[:, 0] = 1, 1
    symbols = np.zeros((count, width, max(longest, 1)), np.int64)
    lengths = np.where(keys > 0, 0, longest)
    return _Prefixes(ends, np.zeros_like(ends), symbols, lengths, keys, np.zeros_like(keys))


def _grow(old: _Prefixes, step: npt.NDArray[np.float64]) -> _Prefixes:
    """The likeliest beginnings of all numbers one step (N, 11) further."""
    count, width, longest = old.symbols.shape
    n, written = np.arange(count)[:, None], old.lengths > 0
    last = np.take_along_axis(old.symbols, np.maximum(old.lengths - 1, 0)[..., None], 2)[..., 0]
    both, repeated = old.ends + old.ended, step[n, last]
    with_blank, with_digit = both * step[:, BLANK:], old.ended * repeated * written
    longer = both[..., None] * step[:, None, :BLANK]
    # The same digit again is a new one only behind a blank.
    np.put_along_axis(longer, last[..., None], (np.where(written, old.ends, both) * repeated)[..., None], 2)
    longer[old.lengths >= longest] = 0
    # What grows into a beginning that is followed already is added to it.
    i, parent, child = np.nonzero((old.keys[:, :, None] == old.parents[:, None]) & (old.parents[:, None] > 0))
    with_digit[i, child] += longer[i, parent, last[i, child]]
    longer[i, parent, last[i, child]] = 0
    scores = np.concatenate([with_blank + with_digit, longer.reshape(count, -1)], 1)
    best = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    stays, kept = best < width, scores[n, best]
    source, digit = np.where(stays, best, (best - width) // BLANK), (best - width) % BLANK
    symbols, lengths, keys = old.symbols[n, source], old.lengths[n, source], old.keys[n, source]
    at = np.minimum(lengths, longest - 1)[..., None]
    np.put_along_axis(symbols, at, np.where(stays[..., None], np.take_along_axis(symbols, at, 2), digit[..., None]), 2)
    with np.errstate(over="ignore"):  # names of long numbers wrap around
        grown = keys * np.uint64(11) + (digit + 1).astype(np.uint64)
    used = kept > 0
    return _Prefixes(
        np.where(stays, with_blank[n, source], 0.0),
        np.where(stays, with_digit[n, source], kept),
        symbols,
        np.minimum(lengths + ~stays, longest),
        np.where(stays, keys, grown) * used,
        np.where(stays, old.parents[n, source], keys) * used,
    )


def allowed(text: str, digits: tuple[int, int], largest: int | None) -> bool:
    """Whether a field may hold `text`. digits: fewest and most. largest: largest value."""
    return digits[0] <= len(text) <= digits[1] and (largest is None or int(text or "0") <= largest)


def score(numbers: Sequence[tuple[Sequence[LineProbabilities], Sequence[str]]]) -> list[npt.NDArray[np.float64]]:
    """For each number, its views and some texts, log-probability (views, texts) of each text in each view, exact.

    The forward algorithm, all numbers at once. views: (T, 11) each, of any T; a text that one is too short for has a
    finite, very low score.
    """
    lines: list[LineProbabilities] = []
    pairs: list[tuple[int, str]] = []
    for views, texts in numbers:
        for view in views:
            pairs += [(len(lines), text) for text in texts]
            lines.append(np.maximum(view, _FLOOR))
    found = _forward(_stacked(lines), pairs)
    ends = np.cumsum([len(views) * len(texts) for views, texts in numbers])
    return [
        part.reshape(len(views), len(texts))
        for part, (views, texts) in zip(np.split(found, ends[:-1]), numbers, strict=True)
    ]


def _forward(rows: npt.NDArray[np.float64], pairs: Sequence[tuple[int, str]]) -> npt.NDArray[np.float64]:
    """Sum over all paths that write a text through the steps of a line, for each pair of a row and a text."""
    line = np.array([k for k, _ in pairs])[:, None]
    last = np.array([2 * len(text) for _, text in pairs])
    states = np.full((len(pairs), int(last.max(initial=0)) + 1), BLANK)
    for state, (_, text) in zip(states, pairs, strict=True):
        state[1 : 2 * len(text) : 2] = [int(c) for c in text]
    passes = (states[:, 2:] != BLANK) & (states[:, 2:] != states[:, :-2])
    alpha = np.zeros(states.shape)
    alpha[:, :2] = rows[line, 0, states[:, :2]]
    total = np.zeros(len(pairs))
    for at in range(1, rows.shape[1]):
        moved = alpha.copy()
        moved[:, 1:] += alpha[:, :-1]
        moved[:, 2:] += alpha[:, :-2] * passes
        alpha = moved * rows[line, at, states]
        if at % _SCALED == 0:
            scale = np.maximum(alpha.max(1), 1e-300)
            total += np.log(scale)
            alpha /= scale[:, None]
    k = np.arange(len(pairs))
    ends = alpha[k, last] + np.where(last > 0, alpha[k, last - 1], 0)
    return np.where(ends > 0, total + np.log(np.maximum(ends, 1e-300)), _NEVER)


def align(probabilities: LineProbabilities, text: str) -> list[tuple[int, int]]:
    """For each digit of `text` the first and last step at which it is most likely written (Viterbi 1967).

    probabilities: (T, 11). [] where there are fewer steps than digits and the blanks that must part them.
    """
    states = [BLANK]
    for digit in text:
        states += [int(digit), BLANK]
    # Few states: plain numbers are quicker here than arrays.
    logs = np.log(np.maximum(probabilities[:, states], _FLOOR)).astype(np.float64).tolist()
    skip = [i >= 2 and s not in (BLANK, states[i - 2]) for i, s in enumerate(states)]
    best = [*logs[0][:2], *[-np.inf] * (len(states) - 2)][: len(states)]
    came: list[list[int]] = []
    for row in logs[1:]:
        moves, better = [], []
        for i, gain in enumerate(row):
            step, most = 0, best[i]
            if i and best[i - 1] > most:
                step, most = 1, best[i - 1]
            if skip[i] and best[i - 2] > most:
                step, most = 2, best[i - 2]
            moves.append(step)
            better.append(most + gain)
        came.append(moves)
        best = better
    at = len(states) - 1 if len(states) == 1 or best[-1] >= best[-2] else len(states) - 2
    if not np.isfinite(best[at]):
        return []
    path = [at]
    for came_by in reversed(came):
        at -= came_by[at]
        path.append(at)
    where = np.array(path[::-1])
    return [
        (int(spent[0]), int(spent[-1])) for i in range(len(text)) if len(spent := np.flatnonzero(where == 2 * i + 1))
    ]
