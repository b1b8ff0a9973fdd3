"""Reading digits out of the probabilities of a line recogniser: connectionist temporal classification.

Graves et al. 2006. A recogniser gives, for each step along the line, the probability of the ten digits and of the
blank: (T, 11) float32, rows that sum to 1, the blank last. A number's probability is the sum over all ways to write
it with repeats and blanks between.
"""

from __future__ import annotations

import math
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
# The same of beginnings, of which a step may take as much as a float32 holds.
_OFTEN = 4
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
    return [_beam(line, digits, largest, width) for line in lines]


def _beam(line: LineProbabilities, digits: tuple[int, int], largest: int | None, width: int) -> list[tuple[str, float]]:
    # Few symbols of a step are likely and few beginnings are followed: plain numbers are quicker here than arrays.
    # Of each beginning the probability of the paths that end in a blank, and of those that end in its last digit.
    found, power = {"": [1.0, 0.0]}, 0
    for at, (*row, blank) in enumerate(_without_idle_steps(line).astype(np.float64).tolist(), 1):
        likely = [(digit, p) for digit, p in zip("0123456789", row, strict=True) if p > _UNLIKELY]
        grown: dict[str, list[float]] = {}
        for text, (ends, ended) in found.items():
            both, last = ends + ended, text[-1:]
            here = grown.setdefault(text, [0.0, 0.0])
            here[0] += both * blank
            for digit, p in likely:
                # The same digit again is a new one only behind a blank.
                if digit == last:
                    here[1] += ended * p
                if len(text) < digits[1]:
                    grown.setdefault(text + digit, [0.0, 0.0])[1] += (ends if digit == last else both) * p
        if len(grown) > width:
            grown = dict(sorted(grown.items(), key=_total, reverse=True)[:width])
        found = grown
        # Hundreds of steps of an unsure model leave less than a float holds: scaled by a power of two, which changes no
        # bit of what is compared.
        if at % _OFTEN == 0:
            over = math.frexp(max(map(_total, grown.items())))[1]
            found = {text: [math.ldexp(ends, -over), math.ldexp(ended, -over)] for text, (ends, ended) in grown.items()}
            power += over
    given = [(text, ends + ended) for text, (ends, ended) in found.items() if allowed(text, digits, largest)]
    return [(text, math.ldexp(p, power)) for text, p in sorted(given, key=lambda item: -item[1]) if p > 0]


def _total(item: tuple[str, list[float]]) -> float:
    return item[1][0] + item[1][1]


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


def allowed(text: str, digits: tuple[int, int], largest: int | None) -> bool:
    """Whether a field may hold `text`. digits: fewest and most. largest: largest value."""
    return digits[0] <= len(text) <= digits[1] and (largest is None or int(text or "0") <= largest)


def score(numbers: Sequence[tuple[Sequence[LineProbabilities], Sequence[str]]]) -> list[npt.NDArray[np.float64]]:
    """For each number, its views and some texts, log-probability (views, texts) of each text in each view.

    The forward algorithm, all numbers at once; exact but for runs of surely blank steps, which count as one. views:
    (T, 11) each, of any T; a text that one is too short for has a finite, very low score.
    """
    lines: list[LineProbabilities] = []
    pairs: list[tuple[int, str]] = []
    for views, texts in numbers:
        for view in views:
            pairs += [(len(lines), text) for text in texts]
            lines.append(np.maximum(_without_idle_steps(view), _FLOOR))
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
    best_each = probabilities.argmax(1)
    if collapse(best_each) == text:  # the likeliest path of all
        return _runs(best_each)
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


def _runs(symbols: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and last step of each digit that a symbol for each step, (T,), writes."""
    ends = np.flatnonzero(np.diff(symbols, append=-1))
    starts = np.concatenate([[0], ends[:-1] + 1])
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if symbols[a] < BLANK]
