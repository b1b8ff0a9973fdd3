"""Paper and what scanners and cameras make of it: what a composed number is written on, and how it comes back.

All pictures are (H, W); ink and print are float32 coverage from 0 to 1, a page is float32 gray levels from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.datasets.augment import Rng

Plane = npt.NDArray[np.float32]
Gray = npt.NDArray[np.uint8]

_TILE_H, _TILE_W = 160, 1024


@dataclass(frozen=True, slots=True)
class Papers:
    """Patterns to cut backgrounds from: (N, 160, 1024) int8, about -127 to 127, mean near 0.

    grain: unordered, from fine to cloudy. print: security lines, weaves and watermarks.
    """

    grain: npt.NDArray[np.int8]
    print: npt.NDArray[np.int8]


def make_papers(seed: int, each: int = 24) -> Papers:
    """Backgrounds drawn from `seed`; `each` of both kinds."""
    rng = np.random.default_rng(seed)
    return Papers(np.stack([_grain(rng) for _ in range(each)]), np.stack([_security(rng) for _ in range(each)]))


def _grain(rng: Rng) -> npt.NDArray[np.int8]:
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
    return _packed(np.asarray(out, np.float32))


def _security(rng: Rng) -> npt.NDArray[np.int8]:
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
    return _packed(np.asarray(out, np.float32))


def _packed(pattern: Plane) -> npt.NDArray[np.int8]:
    centred = pattern - pattern.mean()
    return np.asarray(np.clip(centred * (40 / max(float(centred.std()), 1e-3)), -127, 127), np.int8)


def _cut(tiles: npt.NDArray[np.int8], height: int, width: int, rng: Rng) -> Plane:
    """Some part of some tile, perhaps enlarged, turned over or stretched: (height, width), deviation about 1."""
    zoom = rng.uniform(0.6, 2.0)
    h, w = min(_TILE_H, max(4, round(height / zoom))), min(_TILE_W, max(4, round(width / zoom)))
    y, x = int(rng.integers(0, _TILE_H - h + 1)), int(rng.integers(0, _TILE_W - w + 1))
    part = tiles[int(rng.integers(len(tiles))), y : y + h, x : x + w]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return np.asarray(cv2.resize(part.astype(np.float32), (width, height)) / 40, np.float32)


def lay(ink: Plane, print_: Plane, papers: Papers, rng: Rng) -> Plane:
    """Ink and printed lines on some paper: the page in gray levels, dark on light."""
    h, w = ink.shape
    level = rng.uniform(150, 255) if rng.random() < 0.8 else rng.uniform(90, 200)
    pen = level * (rng.uniform(0.05, 0.5) if rng.random() < 0.8 else rng.uniform(0.5, 0.72))
    page = np.full((h, w), level, np.float32)
    kind = rng.random()
    if kind < 0.4:
        page += _cut(papers.print, h, w, rng) * rng.uniform(0.02, 0.18) * (level - pen)
    if kind > 0.2:
        page += _cut(papers.grain, h, w, rng) * rng.uniform(0.005, 0.08) * (level - pen)
    if rng.random() < 0.2:
        page *= _shadow(h, w, rng)
    print_level = level * rng.uniform(0.15, 0.85)
    page += (print_level - page) * print_
    cover = ink * rng.uniform(0.8, 1.0)
    if rng.random() < 0.4:
        cover = cover * np.clip(1 - rng.uniform(0.05, 0.3) * np.abs(_cut(papers.grain, h, w, rng)), 0, 1)
    return np.asarray(page + (pen - page) * cover, np.float32)


def _shadow(height: int, width: int, rng: Rng) -> Plane:
    across, down = rng.uniform(-0.35, 0.35, 2)
    ramp = 1 + across * np.linspace(-0.5, 0.5, width)[None] + down * np.linspace(-0.5, 0.5, height)[:, None]
    return np.asarray(ramp, np.float32)


def scan(page: Plane, body: float, rng: Rng) -> Gray:
    """The page as a scanner, a fax or a telephone gives it. body: height of a digit, pixels."""
    h, w = page.shape
    if rng.random() < 0.35:
        factor = min(1.0, rng.uniform(10, 26) / body)
        size = max(8, round(w * factor)), max(8, round(h * factor))
        page = np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.float32)
        body *= factor
    if rng.random() < 0.4:
        page = np.asarray(cv2.GaussianBlur(page, (0, 0), rng.uniform(0.015, 0.04) * body), np.float32)
    if rng.random() < 0.4:
        page = page + rng.standard_normal(page.shape, np.float32) * (rng.uniform(0.02, 0.3) * float(page.std()))
    out = np.clip(page, 0, 255).astype(np.uint8)
    chance = rng.random()
    if chance < 0.06:
        level, _ = cv2.threshold(out, 0, 255, cv2.THRESH_OTSU)
        return (out > level * rng.uniform(0.9, 1.1)).astype(np.uint8) * 255
    if chance < 0.25:
        done, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8) if done else out
    return out


def tilt(planes: list[Plane], rng: Rng) -> list[Plane]:
    """All planes turned, sheared and seen askew alike, as a page that does not lie straight."""
    h, w = planes[0].shape
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    turn, shear = rng.normal(0, 0.02), rng.normal(0, 0.06)
    away = corners - [w / 2, h / 2]
    moved = away @ np.array([[1, turn], [-turn + shear, 1]], np.float32) + [w / 2, h / 2]
    if rng.random() < 0.3:
        moved = moved + rng.normal(0, 0.04 * h, (4, 2))
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return [np.asarray(cv2.warpPerspective(plane, matrix, (w, h)), np.float32) for plane in planes]
