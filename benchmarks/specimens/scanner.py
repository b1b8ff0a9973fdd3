"""What happens to a clean page between the pen and the file: coffee, folds, skew, a lens, a sensor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Pixels

Gray = npt.NDArray[np.float32]

LID = 214.0
"""Gray level of the scanner's lid, seen beside the paper."""


@dataclass(frozen=True, slots=True)
class Wear:
    """What is special about one page. faint_pen is honoured by whoever writes on the page."""

    coffee: bool = False
    fold: bool = False
    upside_down: bool = False
    faint_pen: bool = False


def scan(page: Pixels, rng: np.random.Generator, wear: Wear = Wear()) -> Pixels:
    """A scan of a clean page: (H, W) uint8 in, the same size out.

    Always: paper and lamp unevenness, skew up to 1.5 degrees, scale within 1.5 %, a slight perspective,
    blur and noise. What `wear` names comes on top. The same rng state gives the same bytes.
    """
    paper = page.astype(np.float32) * _paper(page.shape, rng)
    if wear.fold:
        paper = paper * _fold(page.shape, rng)
    if wear.coffee:
        paper = paper * _coffee(page.shape, rng)
    seen = _lay_down(paper, rng) * _lamp(page.shape, rng)
    blurred = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.55, 0.75))
    noisy = blurred + rng.uniform(1.6, 2.6) * _clouds(page.shape, 0.6, rng)
    image = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image[::-1, ::-1]) if wear.upside_down else image


def _clouds(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Gray:
    """Smooth noise of mean 0 and deviation 1; sigma: its grain in pixels."""
    step = max(1, int(sigma / 4))
    white = rng.standard_normal((shape[0] // step + 2, shape[1] // step + 2), dtype=np.float32)
    small = cv2.GaussianBlur(white, (0, 0), sigma / step)
    noise = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6), np.float32)


def _paper(shape: tuple[int, ...], rng: np.random.Generator) -> Gray:
    """Off-white paper with fibres, broad unevenness and a few specks of dust."""
    tone = rng.uniform(0.93, 0.965) + 0.004 * _clouds(shape, 3, rng) + 0.008 * _clouds(shape, 160, rng)
    for x, y in rng.uniform((0, 0), (shape[1], shape[0]), (int(rng.integers(6, 16)), 2)):
        axes = (int(rng.integers(1, 3)), int(rng.integers(1, 2)))
        angle, shade = rng.uniform(0, 180), rng.uniform(0.45, 0.8)
        cv2.ellipse(tone, (int(x), int(y)), axes, angle, 0, 360, shade, -1, cv2.LINE_AA)
    return np.asarray(tone, np.float32)


def _coffee(shape: tuple[int, ...], rng: np.random.Generator) -> Gray:
    """The ring of a cup: a dark wandering rim, a pale inside, and a gap where the cup stood dry."""
    h, w = shape
    cx, cy, radius = rng.uniform(0.5, 0.8) * w, rng.uniform(0.45, 0.75) * h, rng.uniform(0.13, 0.17) * w
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    angle = np.arctan2(y - cy, x - cx)
    start = rng.uniform(0, 2 * np.pi)
    distance = np.hypot(x - cx, y - cy) - radius * (1 + 0.012 * np.sin(2 * angle + start))
    distance += 1.5 * _clouds(shape, 14, rng)
    width = radius * 0.035 * (1.3 + np.sin(angle + start))
    rim = np.exp(-((distance / (width + 1)) ** 2)) * (0.65 + 0.35 * np.sin(angle + start))
    edge = np.exp(-(((distance - width) / 2.2) ** 2)) * (0.6 + 0.4 * np.sin(angle + start))
    inside = 1 / (1 + np.exp(np.clip(distance / 6, -30, 30)))
    mottled = 1 + 0.18 * _clouds(shape, 5, rng)
    return np.asarray(1 - np.clip((0.17 * rim + 0.10 * edge + 0.03 * inside) * mottled, 0, 0.5), np.float32)


def _fold(shape: tuple[int, ...], rng: np.random.Generator) -> Gray:
    """Two folds across the page: a shadow that fades to one side and a worn bright crest."""
    h, w = shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    tone = np.ones((h, w), np.float32)
    for at in (rng.uniform(0.31, 0.35), rng.uniform(0.64, 0.68)):
        d = y - at * h - np.tan(np.deg2rad(rng.uniform(-0.6, 0.6))) * (x - w / 2)
        tone -= rng.uniform(0.10, 0.15) * np.where(d > 0, np.exp(-d / 55), np.exp(d / 4))
        crest = np.exp(-((d / 1.3) ** 2)) * (0.75 + 0.25 * _clouds(shape, 4, rng))
        tone += rng.uniform(0.06, 0.10) * crest
    return tone


def _lamp(shape: tuple[int, ...], rng: np.random.Generator) -> Gray:
    """Light that falls off across the glass, and one faint streak of a dirty sensor cell."""
    h, w = shape
    slope_x, slope_y = rng.uniform(-0.025, 0.025, 2)
    light = 1 + slope_x * np.linspace(-1, 1, w)[None, :] + slope_y * np.linspace(-1, 1, h)[:, None]
    column = int(rng.integers(0, w - 2))
    light[:, column : column + 2] *= 0.975
    return np.asarray(light, np.float32)


def _lay_down(paper: Gray, rng: np.random.Generator) -> Gray:
    """The paper on the glass: turned, a little off scale and out of plane, the lid beside it."""
    h, w = paper.shape
    pad = 80
    sheet = np.full((h + 2 * pad, w + 2 * pad), LID, np.float32)
    cv2.rectangle(sheet, (pad - 2, pad - 2), (pad + w + 1, pad + h + 1), LID - 55, -1)
    sheet = cv2.GaussianBlur(sheet, (0, 0), 2)
    sheet[pad : pad + h, pad : pad + w] = paper
    turn = rng.choice((-1, 1)) * rng.uniform(0.25, 1.5)
    matrix = np.asarray(cv2.getRotationMatrix2D((w / 2, h / 2), turn, rng.uniform(0.985, 1.004)), np.float64)
    matrix[:, 2] += rng.uniform(-6, 6, 2)
    corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32)
    landed = corners @ np.transpose(matrix[:, :2]) + matrix[:, 2] + rng.uniform(-4, 4, (4, 2))
    warp = cv2.getPerspectiveTransform(corners + pad, landed.astype(np.float32))
    seen = cv2.warpPerspective(sheet, warp, (w, h), flags=cv2.INTER_CUBIC, borderValue=LID)
    return np.asarray(seen, np.float32)
