"""What near-duplicates between source training and target test images are worth: F1 with and without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inkshift.errors import DataError
from inkshift.files import parse_json, read_bytes
from inkshift.models import metrics
from inkshift.studies.report.results import Arm, Results


@dataclass(frozen=True)
class ArmWithout:
    """Mean F1 over replicates at the last epoch, on all test images and without the near-duplicates."""

    arm: str
    all: float
    without: float


@dataclass(frozen=True)
class Overlap:
    """The audit of one set. threshold: lowest normalised correlation of near-duplicates; method: how they are told."""

    set: str
    pairs: int
    test_images: int
    share: float
    threshold: float
    method: str
    rows: int
    by_class: Mapping[str, int]
    sheet: Path | None
    arms: tuple[ArmWithout, ...]


def overlaps(results: Results) -> list[Overlap]:
    """The audits in `overlap.json` of the study folder; none where there is no such file.

    Raises DataError if the file is not as the audit writes it or names a test image that is not there.
    """
    path = results.folder / "overlap.json"
    if not path.is_file():
        return []
    try:
        content = parse_json(read_bytes(path))
        return [_overlap(results, item, str(content.get("method", ""))) for item in content["sets"]]
    except KeyError as e:
        raise DataError(f"{path}: {e.args[0]!r} is not there; run the overlap audit again") from None
    except (TypeError, ValueError, AttributeError) as e:
        raise DataError(f"{path}: not an overlap audit of this study ({e}); run the audit again") from None


def f1_without(arm: Arm, rows: npt.NDArray[np.int64], average: str = "macro") -> tuple[float, float]:
    """Mean F1 over replicates at the last epoch: on all test images, and without `rows` (indices of them)."""
    images = len(arm.replicates[0].true)
    if len(rows) and not (rows.min() >= 0 and rows.max() < images):
        raise ValueError(f"test image {int(rows.max())} of {images}")
    keep = np.ones(images, np.bool_)
    keep[rows] = False
    scores = [
        [
            metrics.f1_score(metrics.confusion(run.predicted[some], run.true[some], len(run.classes)), average)
            for some in (np.ones(images, np.bool_), keep)
        ]
        for run in arm.distinct
    ]
    whole, without = np.mean(scores, axis=0)
    return float(whole), float(without)


def _overlap(results: Results, item: Mapping[str, Any], method: str) -> Overlap:
    arms = [arm for study_set in results.sets if study_set.name == item["name"] for arm in study_set.arms]
    rows = np.unique(np.asarray(item["rows"], np.int64))
    return Overlap(
        set=str(item["name"]),
        pairs=int(item["pairs"]),
        test_images=int(item["test_images"]),
        share=float(item["share"]),
        threshold=float(item["threshold"]),
        method=method,
        rows=len(rows),
        by_class=dict(item.get("by_class") or {}),
        sheet=results.folder / item["sheet"] if item.get("sheet") else None,
        arms=tuple(ArmWithout(arm.name, *f1_without(arm, rows, results.average)) for arm in arms if arm.replicates),
    )
