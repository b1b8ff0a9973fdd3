"""The runs of a group, done: networks trained, and what is kept of them, as packages that the reader takes too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from torch import nn

from inkshift.datasets.catalog import CATALOG
from inkshift.datasets.tasks import Task
from inkshift.errors import InkshiftError
from inkshift.files import write_whole
from inkshift.models.package import Manifest, Model, Source, save_package
from inkshift.models.train.networks import graph_bytes, weights_bytes
from inkshift.studies.characters.frozen import Trained, train_frozen
from inkshift.studies.characters.plan import Run
from inkshift.studies.characters.work import apply_as_is, splits_of, train_run
from inkshift.studies.engine import Outcome, RunGroup, fail
from inkshift.studies.record import PACKAGE, WEIGHTS, Record


def do(job: RunGroup) -> Outcome:
    """Train the networks of a group of runs, each into its folder, and write what is kept of them."""
    first = job.runs[0]
    results: Iterable[Trained]
    if first.batched:
        results = train_frozen(job.runs, job.folder, job.device)
    else:
        results = [(apply_as_is if first.regime == "as-is" else train_run)(first, job.folder, job.device)]
    done: Outcome = []
    for one, (net, record, stopped) in zip(job.runs, results, strict=True):
        if isinstance(stopped, InkshiftError):
            done += fail(replace(job, runs=(one,)), str(stopped))
            continue
        net.cpu()
        if one.role == "source":
            write_whole(record.folder / WEIGHTS, weights_bytes(net))
        if one.key in job.packed:
            save_run_package(one, net, record, record.folder / PACKAGE)
        record.finish(stopped)
        done.append((one.key, None))
    return done


def save_run_package(run: Run, net: nn.Module, record: Record, folder: Path) -> Model:
    """Pack the network of a run: weights, ONNX graph, how it was trained, its scores on the run's test images."""
    p = run.protocol
    labels = run.task.labels if run.regime != "as-is" or run.source_task is None else run.source_task.labels
    last = record.rows[-1]
    from_where = f" from a network that learned {run.source_task}" if run.source_task else ""
    from_where = f" from {run.weights[0]}" if run.weights else from_where
    manifest = Manifest(
        name=f"{run.regime}-{run.key}",
        summary=f"From a transfer study: {run.regime}{from_where}, target {run.task}, replicate {run.replicate}.",
        architecture=p.backbone,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        classes=labels,
        reframing=for_reading(p.reframing),
        sources=tuple(one for task in dict.fromkeys((run.source_task, run.task)) if task for one in _sources(task)),
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


def _sources(task: Task) -> list[Source]:
    found = []
    part = "train" if task.test_share is None else f"less {task.test_share:.0%} split off to test on"
    for name, images in task.counts("train").items():
        entry = CATALOG.get(name)
        if entry is None:
            found.append(Source(name=name, images=images, licence="your own data", cite=""))
        else:
            found.append(Source(name=f"{entry.name} {part}", images=images, licence=entry.licence, cite=entry.citation))
    return found


def _licence(run: Run) -> str:
    names = [name for task in (run.source_task, run.task) if task for name in task.names]
    unfit = [name for name in names if name not in CATALOG or not CATALOG[name].ships]
    if unfit:
        return f"not to be passed on: trained on {', '.join(unfit)}"
    return " and ".join(dict.fromkeys(CATALOG[name].licence for name in names))
