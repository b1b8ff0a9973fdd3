"""A trained network of a study as a model package that the reader takes."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from inkshift.datasets.catalog import CATALOG
from inkshift.datasets.tasks import Task
from inkshift.models.export import graph_bytes, weights_bytes
from inkshift.models.package import Manifest, Model, Source, save_package
from inkshift.transfer.plan import Run
from inkshift.transfer.record import Record
from inkshift.transfer.run import splits_of


def save_run_package(run: Run, net: nn.Module, record: Record, folder: Path) -> Model:
    """Pack the network of a run: weights, ONNX graph, how it was trained, its scores on the run's test images."""
    p = run.protocol
    labels = run.task.labels if run.regime != "as-is" or run.source_task is None else run.source_task.labels
    last = record.rows[-1]
    from_where = f" from a network that learned {run.source_task}" if run.source_task else ""
    manifest = Manifest(
        name=f"{run.regime}-{run.key}",
        summary=f"From a transfer study: {run.regime}{from_where}, target {run.task}, replicate {run.replicate}.",
        architecture=p.backbone,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        classes=labels,
        reframing=for_reading(p.reframing),
        sources=tuple(_source(task) for task in dict.fromkeys((run.source_task, run.task)) if task),
        training={"regime": run.regime, "replicate": run.replicate, "seed": run.seed} | p.model_dump(mode="json"),
        scores={f"{run.task} test, F1 ({p.f1})": float(last[4]), f"{run.task} test, accuracy": float(last[5])}
        | {"test images": len(splits_of(run).test.classes)},
        licence=_licence(run),
    )
    return save_package(folder, manifest, weights_bytes(net), graph_bytes(net, p.side, p.channels))


def for_reading(reframing: str) -> str:
    """A study's reframing for characters that come tightly cut, off a page: framed as the sets of characters are.

    MNIST and SD19 show a character in a square with a margin, so a study may only have to resize them.
    """
    steps = reframing.split("|")
    if any(step.strip() == "trim" for step in steps):
        return reframing
    at = max(i for i, step in enumerate(steps) if step.strip().startswith("resize"))
    return "|".join([*steps[:at], "trim", "square", "margin(0.2)", *steps[at:]])


def _source(task: Task) -> Source:
    entry = CATALOG.get(task.data)
    images = len(task.load("train")[0])
    if entry is None:
        return Source(name=task.data, images=images, licence="your own data", cite="")
    return Source(name=f"{entry.name} train", images=images, licence=entry.licence, cite=entry.citation)


def _licence(run: Run) -> str:
    tasks = [task for task in (run.source_task, run.task) if task]
    unfit = [task.data for task in tasks if task.data not in CATALOG or not CATALOG[task.data].ships]
    if unfit:
        return f"not to be passed on: trained on {', '.join(unfit)}"
    return " and ".join(dict.fromkeys(CATALOG[task.data].licence for task in tasks))
