"""Paper and what scanners and cameras make of it: what a composed number is written on, and how it comes back.

All pictures are (H, W); ink and print are uint8 coverage, 255 full; a page is float32 gray levels from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.datasets.synth.augment import Dice, Rng

Plane = npt.NDArray[np.uint8]
Levels = npt.NDArray[np.float32]

_TILE_H, _TILE_W = 160, 1024


@dataclass(frozen=True, slots=True)
class Papers:
    """Patterns to cut backgrounds from: (N, 160, 1024) float32, deviation about 1, mean near 0.

    grain: unordered, from fine to cloudy. print: security lines, weaves and watermarks. noise: (160, 1024) float32,
    normal, deviation 1, of a sensor.
    """

    grain: Levels
    print: Levels
    noise: Levels


@lru_cache(2)
def make_papers(seed: int, each: int = 24) -> Papers:
    """Backgrounds drawn from `seed`; `each` of both kinds. The last two are remembered: they take a second."""
    rng = np.random.default_rng(seed)
    grain, printed = (np.stack([make(rng) for _ in range(each)]) for make in (_grain, _security))
    return Papers(grain, printed, rng.standard_normal((_TILE_H, _TILE_W), np.float32))


def _grain(rng: Rng) -> Levels:
    noise = rng.standard_normal((_TILE_H, _TILE_W), np.float32)
    fine, cloudy = rng.uniform(0, 1.5), rng.uniform(3, 25)
    out = cv2.GaussianBlur(noise, (0, 0), fine) if fine > 0.3 else noise
    out = out / out.std()
    if rng.random() < 0.5:
        cloud = cv2.GaussianBlur(rng.standard_normal(noise.shape, np.float32), (0, 0), cloudy)
        out = out + cloud / cloud.std()
    if rng.random() < 0.3:
        along = cv2.GaussianBlur(rng.standard_normal(noise.shape, np.float32), (0, 0), 8, sigmaY=0.7)
        out = out + along / along.std()
    return _evened(np.asarray(out, np.float32))


def _security(rng: Rng) -> Levels:
    """Guilloche lines as on cheques (sums of sines), a weave of dots, or both."""
    ys, xs = np.mgrid[0:_TILE_H, 0:_TILE_W].astype(np.float32)
    out = np.zeros(xs.shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        period, turn = rng.uniform(5, 22), rng.uniform(0, np.pi)
        phase = (xs * np.sin(turn) + ys * np.cos(turn)) * (2 * np.pi / period)
        for _ in range(int(rng.integers(1, 4))):
            length, way = rng.uniform(25, 160), rng.uniform(0, np.pi)
            along = (xs * np.cos(way) + ys * np.sin(way)) * (2 * np.pi / length)
            phase = phase + rng.uniform(0.5, 5) * np.sin(along + rng.uniform(0, 6))
        out -= np.clip((np.cos(phase) - rng.uniform(0.5, 0.9)) * rng.uniform(3, 8), 0, 1)
    if rng.random() < 0.4:
        pitch = rng.uniform(3, 8)
        out += rng.uniform(0.3, 1) * np.sin(xs * 2 * np.pi / pitch) * np.sin(ys * 2 * np.pi / pitch)
    if rng.random() < 0.3:
        mark = cv2.GaussianBlur(rng.standard_normal(xs.shape, np.float32), (0, 0), 9)
        out += 1.5 * (np.abs(mark / mark.std()) < 0.35)
    return _evened(np.asarray(out, np.float32))


def _evened(pattern: Levels) -> Levels:
    centred = pattern - pattern.mean()
    return np.asarray(np.clip(centred / max(float(centred.std()), 1e-3), -3, 3), np.float32)


def _cut(tiles: Levels, height: int, width: int, dice: Dice) -> Levels:
    """Some part of some tile, perhaps enlarged, turned over or stretched: (height, width), deviation about 1."""
    zoom = dice.uniform(0.6, 2.0)
    h, w = min(_TILE_H, max(4, round(height / zoom))), min(_TILE_W, max(4, round(width / zoom)))
    y, x = dice.below(_TILE_H - h + 1), dice.below(_TILE_W - w + 1)
    part = tiles[dice.below(len(tiles)), y : y + h, x : x + w]
    if dice.random() < 0.5:
        part = part[:, ::-1]
    return np.asarray(cv2.resize(part, (width, height)), np.float32)


def lay(ink: Plane, print_: Plane, papers: Papers, dice: Dice, fair: bool = False) -> Levels:
    """Ink and printed lines on some paper: the page in gray levels, dark on light. fair: neither dim nor faded."""
    h, w = ink.shape
    level = dice.uniform(150, 255) if fair or dice.random() < 0.8 else dice.uniform(90, 200)
    pen = level * (dice.uniform(0.05, 0.5) if fair or dice.random() < 0.8 else dice.uniform(0.5, 0.72))
    kind = dice.random()
    page = np.full((h, w), level, np.float32)
    if kind < 0.4:
        cv2.scaleAdd(_cut(papers.print, h, w, dice), dice.uniform(0.02, 0.18) * (level - pen), page, page)
    if kind > 0.2:
        cv2.scaleAdd(_cut(papers.grain, h, w, dice), dice.uniform(0.005, 0.08) * (level - pen), page, page)
    if dice.random() < 0.2:
        across, down = dice.uniform(-0.35, 0.35), dice.uniform(-0.35, 0.35)
        page *= (np.float32(1) + np.float32(across) * _ramp(w)) + np.float32(down) * _ramp(h)[:, None]
    dark = np.float32(level * dice.uniform(0.15, 0.85))
    if print_.any():
        page += (dark - page) * (print_ * np.float32(1 / 255))
    cover = ink * np.float32(dice.uniform(0.8, 1.0) / 255)
    if dice.random() < 0.4:
        cover *= np.float32(1) - np.float32(dice.uniform(0.05, 0.3)) * np.abs(_cut(papers.grain, h, w, dice))
    page += (np.float32(pen) - page) * cover
    return page


@lru_cache
def _ramp(size: int) -> Levels:
    return np.linspace(-0.5, 0.5, size, dtype=np.float32)


def scan(page: Levels, body: float, papers: Papers, dice: Dice, fair: bool = False) -> Plane:
    """The page as a scanner, a fax or a telephone gives it.

    body: height of a digit, pixels. fair: by a good scanner.
    """
    h, w = page.shape
    if dice.random() < (0.05 if fair else 0.35):
        factor = min(1.0, dice.uniform(10, 26) / body)
        size = max(8, round(w * factor)), max(8, round(h * factor))
        page = np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.float32)
        body *= factor
    if dice.random() < (0.1 if fair else 0.4):
        page = np.asarray(cv2.GaussianBlur(page, (0, 0), dice.uniform(0.015, 0.04) * body), np.float32)
    if dice.random() < (0.1 if fair else 0.4):
        spread = float(cv2.meanStdDev(page)[1][0, 0])
        page = np.asarray(cv2.scaleAdd(_noise(papers, page.shape, dice), dice.uniform(0.02, 0.3) * spread, page))
    out = np.asarray(cv2.convertScaleAbs(np.maximum(page, 0)), np.uint8)
    chance = dice.random()
    if chance < 0.06:
        level, _ = cv2.threshold(out, 0, 255, cv2.THRESH_OTSU)
        return (out > level * dice.uniform(0.9, 1.1)).astype(np.uint8) * 255
    if chance < 0.25:
        done, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, 15 + dice.below(65)])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8) if done else out
    return out


def _noise(papers: Papers, shape: tuple[int, ...], dice: Dice) -> Levels:
    """A part of the prepared noise, or fresh noise for a page that is larger."""
    h, w = shape
    if h > _TILE_H or w > _TILE_W:
        return dice.rng.standard_normal((h, w), np.float32)
    y, x = dice.below(_TILE_H - h + 1), dice.below(_TILE_W - w + 1)
    return papers.noise[y : y + h, x : x + w]


def tilt(planes: list[Plane], dice: Dice) -> list[Plane]:
    """All planes turned, sheared and seen askew alike, as a page that does not lie straight."""
    h, w = planes[0].shape
    turn, shear = dice.normal(0, 0.02), dice.normal(0, 0.06)
    forward = np.array([[1, shear - turn], [turn, 1]])
    middle = np.array([w / 2, h / 2])
    if dice.random() < 0.7:
        matrix = np.column_stack([forward, middle - forward @ middle])
        return [np.asarray(cv2.warpAffine(each, matrix, (w, h)), np.uint8) if each.any() else each for each in planes]
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    moved = (corners - middle) @ forward.T + middle + dice.rng.normal(0, 0.04 * h, (4, 2))
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return [np.asarray(cv2.warpPerspective(each, matrix, (w, h)), np.uint8) if each.any() else each for each in planes]
