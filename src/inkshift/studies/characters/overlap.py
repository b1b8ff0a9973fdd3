"""Which test images of a study's sets are source training images in another dress (see `datasets.overlap.twins`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.datasets.overlap import FLOOR, RATIO, Twins, twins
from inkshift.files import write_whole
from inkshift.studies.characters.plan import Plan, PlannedSet
from inkshift.studies.record import write_json

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.str_]

_SHEET_PAIRS, _COLUMNS, _SIDE, _GAP = 96, 8, 56, 4
_LARGEST = 32  # pixels; larger pictures are made smaller before they are compared
_METHOD = (
    "A test image counts as a source training image if the two have the same label, correlate at least at "
    f"{FLOOR:g} once aligned, are each other's nearest, and 1 - correlation is at most {RATIO:g} times that to "
    "either one's second nearest."
)


@dataclass(frozen=True, slots=True, eq=False)
class SetImages:
    """What a set learns from and is tested on, as its runs use it: (N, S, S) light ink on black, (N,) class names.

    source, target: what to call the two, such as `mnist/train` and `nist_emnist/test`.
    """

    source: str
    target: str
    train: Images
    train_labels: Labels
    test: Images
    test_labels: Labels


def audit(sets: Sequence[str], data_of: Callable[[str], SetImages], folder: Path) -> Path:
    """Write `overlap.json` of a study, and a picture of the pairs found in each set; returns the file's path.

    data_of: gives the data of a set by its name; asked for one set after another. In the file, `rows` are indices of
    test images and `partners` of source training images. `overlap-1.png`, ... show the pairs of the lowest correlation,
    for the eye to judge; they hold data, so they stay in the study folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, name in enumerate(sets, 1):
        data = data_of(name)
        found = twins(data.test, data.train, data.test_labels, data.train_labels)
        entry = _entry(name, data, found)
        if len(found):
            entry["sheet"] = f"overlap-{number}.png"
            doubtful = np.argsort(found.correlation, kind="stable")[:_SHEET_PAIRS]
            pairs = data.test[found.rows[doubtful]], data.train[found.partners[doubtful]]
            contact_sheet(*pairs, folder / entry["sheet"])
        entries.append(entry)
    path = folder / "overlap.json"
    write_json(path, {"method": _METHOD if entries else "no set was audited", "sets": entries})
    return path


def audit_study(planned: Plan, folder: Path) -> Path | None:
    """Audit once the sets of a study whose tasks share a class, on the images that their runs use; None if none do."""
    if (folder / "overlap.json").is_file():
        return folder / "overlap.json"
    sets = {one.spec.name: one for one in planned.sets if set(one.spec.source.labels) & set(one.spec.target.labels)}
    return audit(list(sets), lambda name: _data_of(sets[name]), folder) if sets else None


def _data_of(one: PlannedSet) -> SetImages:
    from inkshift.studies.characters.work import load_splits

    p = one.arms[0].protocol
    framing = p.reframing if p.side <= _LARGEST else f"{p.reframing}|resize({_LARGEST})"
    limits = (framing, p.validation, p.train_images, p.test_images, one.arms[0].runs[0].sample_seed)
    source, target = one.spec.source, one.spec.target
    train, test = load_splits(source, *limits).train, load_splits(target, *limits).test
    return SetImages(
        train.name,
        test.name,
        train.images[np.arange(len(train.classes))],
        np.array(source.labels)[train.classes],
        test.images[np.arange(len(test.classes))],
        np.array(target.labels)[test.classes],
    )


def contact_sheet(left: Images, right: Images, path: Path, columns: int = _COLUMNS) -> None:
    """Write (N, H, W) pictures as a PNG, left[k] beside right[k], row by row in their order, each 56 pixels wide."""
    cells = [
        np.pad(np.hstack([_shown(a), _shown(b)]), _GAP, constant_values=96) for a, b in zip(left, right, strict=True)
    ]
    cells += [np.full_like(cells[0], 96)] * (-len(cells) % columns)
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    write_whole(path, cv2.imencode(".png", np.vstack(rows))[1].tobytes())


def _shown(image: Images) -> Images:
    way = cv2.INTER_AREA if len(image) > _SIDE else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, (_SIDE, _SIDE), interpolation=way), np.uint8)


def _entry(name: str, data: SetImages, found: Twins) -> dict[str, Any]:
    theirs = data.test_labels[found.rows]
    return {
        "name": name,
        "source": data.source,
        "target": data.target,
        "test_images": len(data.test),
        "pairs": len(found),
        "share": len(found) / len(data.test),
        "threshold": FLOOR,
        "ratio": RATIO,
        "rows": found.rows.tolist(),
        "partners": found.partners.tolist(),
        "correlations": [round(float(value), 4) for value in found.correlation],
        "by_class": {str(label): int((theirs == label).sum()) for label in np.unique(data.test_labels)},
    }
