"""What a study was made with: the data's checksums, versions, the machine."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from typing import Any

import numpy as np

from inkshift.datasets.catalog import Split
from inkshift.datasets.tasks import Task
from inkshift.errors import DataError
from inkshift.transfer.plan import Plan

_PACKAGES = ("inkshift", "torch", "torchvision", "timm", "numpy", "scipy", "opencv-python-headless")
_BLOCK = 4096
_SPLITS: tuple[Split, ...] = ("train", "test")


def data_checksums(planned: Plan) -> tuple[dict[str, dict[str, dict[str, Any]]], dict[str, str]]:
    """By task and split, how many images there are and the SHA-256 of their pixels and labels; and by task, why not."""
    tasks = {str(task): task for run in planned.runs for task in (run.task, run.source_task) if task}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    problems: dict[str, str] = {}
    for name, task in sorted(tasks.items()):
        try:
            found[name] = {split: _checksum(task, split) for split in _SPLITS}
        except DataError as e:
            problems[name] = str(e)
    return found, problems


def _checksum(task: Task, split: Split) -> dict[str, Any]:
    data, classes = task.load(split)
    rows = np.flatnonzero(classes >= 0)
    total = hashlib.sha256(classes[rows].tobytes())
    if isinstance(data.images, np.ndarray):
        for start in range(0, len(rows), _BLOCK):
            total.update(np.ascontiguousarray(data.images[rows[start : start + _BLOCK]]).tobytes())
    else:
        for row in rows:
            image = data.images[int(row)]
            total.update(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    return {"images": len(rows), "sha256": total.hexdigest()}


def versions() -> dict[str, str]:
    """Python's version and those of the libraries that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> str:
    """The processor and its cores, in a line."""
    import torch

    facts = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    name = facts.get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {facts.get('num_physical_cores', '?')} cores, {torch.backends.cpu.get_cpu_capability()}"
