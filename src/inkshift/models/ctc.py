"""Reading digits out of the probabilities of a line recogniser: connectionist temporal classification.

Graves et al. 2006. A recogniser gives, for each step along the line, the probability of the ten digits and of the
blank: (T, 11) float32, rows that sum to 1, the blank last. A number's probability is the sum over all ways to write
it with repeats and blanks between.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def fold(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probabilities (..., classes) with marks as (..., 11): those of the marks are added to the blank's.

    A mark between two digits parts them as a blank does.
    """
    if probabilities.shape[-1] == BLANK + 1:
        return probabilities
    rest = probabilities[..., BLANK:].sum(-1, keepdims=True)
    return np.concatenate([probabilities[..., :BLANK], rest], -1)


def collapse(symbols: npt.NDArray[np.int64]) -> str:
    """The number that a symbol for each step, (T,) 0 to 10, writes: repeats once, blanks left out."""
    fresh = np.concatenate([[True], symbols[1:] != symbols[:-1]])
    return "".join(map(str, symbols[fresh & (symbols != BLANK)]))


def beam(
    probabilities: LineProbabilities, digits: tuple[int, int] = (1, 8), largest: int | None = None, width: int = 8
) -> tuple[tuple[str, float], ...]:
    """The likeliest numbers, best first, each with its probability: prefix beam search (Hannun et al. 2014).

    digits: fewest and most digits; (0, 0) may give the empty text. largest: largest value. width: how many beginnings
    are followed; symbols below one in a thousand are not.
    """
    prefixes: dict[str, tuple[float, float]] = {"": (1.0, 0.0)}
    rows = probabilities.astype(np.float64)
    likely: list[list[tuple[str, float]]] = [[] for _ in rows]
    steps, symbols = np.nonzero(rows[:, :BLANK] > _UNLIKELY)
    for at, digit, p in zip(steps.tolist(), symbols.tolist(), rows[steps, symbols].tolist(), strict=True):
        likely[at].append((str(digit), p))
    for blank, some in zip(rows[:, BLANK].tolist(), likely, strict=True):
        if not some:
            stays = 1.0 if blank > 1 - _UNLIKELY else blank
            prefixes = {text: ((ends + ended) * stays, 0.0) for text, (ends, ended) in prefixes.items()}
            continue
        prefixes = _step(prefixes, blank, some, digits[1])
        if len(prefixes) > width:
            least = sorted([ends + ended for ends, ended in prefixes.values()])[-width]
            prefixes = {text: both for text, both in prefixes.items() if both[0] + both[1] >= least}
    scored = [(text, ends + ended) for text, (ends, ended) in prefixes.items() if _allowed(text, digits, largest)]
    return tuple(sorted(scored, key=lambda item: -item[1]))


def _step(
    prefixes: dict[str, tuple[float, float]], blank: float, likely: list[tuple[str, float]], longest: int
) -> dict[str, tuple[float, float]]:
    """Each beginning one step further: its probability when the step is blank, and when it is its last digit."""
    grown: dict[str, tuple[float, float]] = {}
    get, never = grown.get, (0.0, 0.0)  # called a hundred times for each step: all else is kept out of the loop
    for text, (ends, ended) in prefixes.items():
        both = ends + ended
        with_blank, with_digit = get(text, never)
        last, open_ = text[-1:], len(text) < longest
        for digit, p in likely:
            fresh = both
            if digit == last:
                with_digit += ended * p
                fresh = ends
            if open_ and fresh > 0:
                longer = text + digit
                other, same = get(longer, never)
                grown[longer] = other, same + fresh * p
        grown[text] = with_blank + both * blank, with_digit
    return grown


def _allowed(text: str, digits: tuple[int, int], largest: int | None) -> bool:
    return digits[0] <= len(text) <= digits[1] and (largest is None or int(text or "0") <= largest)


def score(views: Sequence[LineProbabilities], texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Log-probability (views, texts) float64 of each text in each view of one number, exact (forward algorithm).

    views: (T, 11) each, of any T. A text that a view is too short for has a finite, very low score.
    """
    steps = max(len(view) for view in views)
    rows = np.zeros((len(views), steps, 11))
    rows[..., BLANK] = 1
    for row, view in zip(rows, views, strict=True):
        row[: len(view)] = np.maximum(view, _FLOOR)
    longest = max(map(len, texts), default=0)
    states = np.full((len(texts), 2 * longest + 1), BLANK)
    for state, text in zip(states, texts, strict=True):
        state[1 : 2 * len(text) : 2] = [int(c) for c in text]
    skip = np.zeros(states.shape, bool)
    skip[:, 2:] = (states[:, 2:] != BLANK) & (states[:, 2:] != states[:, :-2])
    last = np.array([2 * len(text) for text in texts], np.int64)
    return _forward(rows, states, skip, last)


def _forward(
    rows: npt.NDArray[np.float64],
    states: npt.NDArray[np.int64],
    skip: npt.NDArray[np.bool_],
    last: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Sum over all paths of rows (V, T, 11) through states (K, S); `last` is each text's closing blank."""
    emit = np.ascontiguousarray(rows[:, :, states].transpose(1, 0, 2, 3))
    passes = skip[:, 2:].astype(np.float64)
    alpha = np.zeros((len(rows), *states.shape))
    alpha[..., :2] = emit[0, ..., :2]
    total = np.zeros((len(rows), len(states)))
    for at, gains in enumerate(emit[1:], 1):
        moved = alpha.copy()
        moved[..., 1:] += alpha[..., :-1]
        moved[..., 2:] += alpha[..., :-2] * passes
        moved *= gains
        alpha = moved
        if at % _SCALED == 0:
            scale = np.maximum(alpha.max(-1), 1e-300)
            total += np.log(scale)
            alpha /= scale[..., None]
    k = np.arange(len(states))
    ends = alpha[:, k, last] + np.where(last > 0, alpha[:, k, last - 1], 0)
    return np.asarray(total + np.log(np.maximum(ends, 1e-300)))


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
