"""How the number recogniser is made: `inkshift model train numbers`. Its recipe is `numbers.toml` beside this file."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from inkshift.datasets import paper, strings
from inkshift.models import recipes, training
from inkshift.models.ctc import HEIGHT
from inkshift.models.export import line_graph_bytes, weights_bytes
from inkshift.models.finetune import judge
from inkshift.models.glyphs import MNIST_LICENCE, Recipe, check_set, load_glyphs, load_recipe, prepare_glyphs
from inkshift.models.networks import NUMBERS, NumberNet
from inkshift.models.package import Manifest, Model, Source, save_package
from inkshift.reframe import parse


def numbers(folder: Path, work: Path, *, epochs: int | None = None, report: recipes.Report = recipes._quiet) -> Model:
    """Train the number recogniser on composed numbers and pack it.

    folder: the package. work: glyphs, checkpoint, and log.csv (epoch, training loss, share of composed numbers of
    glyphs held out read right); a run that was killed goes on from them. report: a function of a module's top level.
    """
    recipe = load_recipe()
    if epochs:
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": (epochs,)})})
    sources = prepare_glyphs(recipe, work)
    together(recipe.training.processes, _train, recipe, work, report)
    return pack(folder, work, recipe, sources)


def pack(folder: Path, work: Path, recipe: Recipe, sources: tuple[Source, ...]) -> Model:
    """A package of the averaged weights in the checkpoint, with its score on numbers of glyphs held out."""
    net = NumberNet(recipe.widths)
    state = torch.load(_checkpoint(work, len(recipe.training.epochs)), weights_only=True)["average"]
    net.load_state_dict({k.removeprefix("module."): v for k, v in state.items() if k.startswith("module.")})
    net.eval()
    right = judge(net, *check_set(recipe, work, 2000))[1]
    t = recipe.training
    manifest = Manifest(
        name=folder.name,
        summary=recipe.summary,
        reads="number",
        architecture=NUMBERS,
        parameters=sum(p.numel() for p in net.parameters()),
        classes=(*"0123456789", "blank"),
        reframing=recipe.reframing,
        sources=sources,
        training={
            "loss": "connectionist temporal classification",
            "optimiser": f"Adam, rate {t.rate:g}, cosine to zero in each part (Loshchilov and Hutter 2017)",
            "weights averaged over": f"about {1 / (1 - t.average):.0f} steps",
            "batch": t.batch * t.processes,
            "epochs": " + ".join(map(str, t.epochs)),
            "numbers composed an epoch": t.strings * t.processes,
            "date": date.today().isoformat(),
            "machine": f"{platform.machine()}, {t.processes} processes of one thread",
        },
        scores={"2,000 composed numbers of glyphs held out, one view, whole numbers": round(right, 4)},
        licence=MNIST_LICENCE,
    )
    return save_package(folder, manifest, weights_bytes(net), line_graph_bytes(net, HEIGHT))


def together(processes: int, work: Callable[..., None], *args: Any) -> None:
    """Run `work(rank, *args)` in so many processes that train one network; torch.distributed over files, gloo."""
    with tempfile.TemporaryDirectory(prefix="inkshift-") as folder:
        torch.multiprocessing.spawn(_join, (processes, folder, work, args), nprocs=processes)  # type: ignore[attr-defined, no-untyped-call]


def _join(rank: int, processes: int, folder: str, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/meet", rank=rank, world_size=processes, timeout=timedelta(hours=2)
    )
    try:
        work(rank, *args)
    finally:
        torch.distributed.destroy_process_group()


def _checkpoint(work: Path, part: int) -> Path:
    return work / f"numbers-{part}.pt"


def _train(rank: int, recipe: Recipe, work: Path, tell: recipes.Report) -> None:
    """One of the processes: composes its own numbers; the first keeps the checkpoints and tells how it goes."""
    t = recipe.training
    glyphs, papers, frame = load_glyphs(recipe, work), paper.make_papers(recipe.seed), parse(recipe.reframing)
    training.seed_all(recipe.seed)
    net = NumberNet(recipe.widths)
    checks = check_set(recipe, work) if rank == 0 else None
    before = 0

    def data(epoch: int) -> tuple[strings.Lines, npt.NDArray[np.int64]]:
        return strings.epoch(glyphs, papers, t.strings, [recipe.seed, rank, before + epoch], frame)

    def report(epoch: int, loss: float) -> None:
        if rank == 0:
            tell("numbers", before + epoch, sum(t.epochs), loss)
        if checks and (epoch % 5 == 4 or epoch + 1 == epochs):
            with (work / "log.csv").open("a", encoding="utf-8") as log:
                log.write(f"{before + epoch + 1},{loss:.5f},{judge(average.module, *checks)[1]:.4f}\n")

    for part, epochs in enumerate(t.epochs, start=1):
        average = training.averaged(net, t.average)
        settings = training.Settings(
            epochs=epochs, batch=t.batch, rate=t.rate, anneal=True, seed=recipe.seed, fast=True, clip=t.clip
        )
        path = _checkpoint(work, part)
        training.train(net, data, settings, loss=training.number_loss, average=average, checkpoint=path, report=report)
        before += epochs
