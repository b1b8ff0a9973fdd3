"""How the number recogniser is made: `inkshift model train numbers`. Its recipe is `numbers.toml` beside this file.

Training may be spread over several sittings and machines. The rate rises, stays constant as long as there is time, and
falls at the end (warm-up, stable, decay: Hu et al. 2024, MiniCPM; its fall: Hägele et al. 2024), so that nobody need
know beforehand how long it will take. Weights averaged over the last steps make a package at any time.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inkshift.datasets.synth import paper, strings
from inkshift.errors import ModelError
from inkshift.jobs import end_with
from inkshift.models import ctc
from inkshift.models.package import Manifest, Model, save_package
from inkshift.models.train import loop
from inkshift.models.train.checkpoint import TrainingProgress, deepened, load_checkpoint, save_checkpoint
from inkshift.models.train.eight_bits import CALIBRATED_BY, in_eight_bits, steps_in
from inkshift.models.train.finetune import steps_of
from inkshift.models.train.glyphs import MNIST_LICENCE, Recipe, check_set, load_glyphs, load_recipe, prepare_glyphs
from inkshift.models.train.networks import DEEP_NUMBERS, NumberNet, as_input, line_graph_bytes, weights_bytes
from inkshift.reframe import parse
from inkshift.scratch import scratch

CHECKPOINT, LOG = "numbers.safetensors", "log.csv"
LOG_COLUMNS = "hours,numbers,rate,loss,waiting,digits,symbols,plain"
_SAVE_SECONDS, _CHECK_SECONDS, _TELL_SECONDS = 180, 1200, 60
_CHECK_SEEDS, _CHECK_EACH = 4, 500
_POOL = 16  # batches composed at a time, to be sorted by width


@dataclass(frozen=True, slots=True)
class Sitting:
    """How one sitting goes. hours: it ends after; finish: whether the rate falls to zero in it, for weights to ship.

    workers: processes that compose, 0 for the training process itself.
    """

    hours: float
    finish: bool
    device: str
    processes: int
    batch: int
    workers: int


@dataclass(frozen=True, slots=True)
class Score:
    """Of composed numbers of glyphs held out, read by one view: shares read right, 0 to 1.

    digits: all digits; symbols: all digits and marks; plain: all digits, of numbers without a strike or gap.
    """

    digits: float
    symbols: float
    plain: float


Tell = Callable[[str], None]


def sit(
    work: Path,
    *,
    hours: float | None = None,
    finish: bool = False,
    device: str = "auto",
    recipe: Recipe | None = None,
    tell: Tell = lambda line: None,
) -> Path:
    """Train for a sitting; gives the checkpoint.

    work: glyphs, checkpoint and log.csv; training goes on from them, also after a kill. hours: of
    this sitting, 0 to pack what is there; until the recipe's numbers are composed where None. finish: let the rate
    fall to zero in this sitting; the checkpoint of the constant rate is kept, and training can go on from it later.
    recipe: that of `numbers.toml` where None. tell: a function of a module's top level, given a line at a time.
    """
    recipe = recipe or load_recipe()
    prepare_glyphs(recipe, work / "glyphs")
    state = work / CHECKPOINT
    if finish:
        stable, state = state, work / f"finish-{CHECKPOINT}"
        if stable.exists() and not (state.exists() and load_checkpoint(state)[0].decayed < 1):
            save_checkpoint(state, *load_checkpoint(stable))
    if hours is None or hours > 0:
        sitting = _plan_sitting(recipe, math.inf if hours is None else hours, finish, device)
        if sitting.processes == 1:
            _train(0, recipe, state, sitting, tell)
        else:
            together(sitting.processes, _train, recipe, state, sitting, tell)
    return state


def _plan_sitting(recipe: Recipe, hours: float, finish: bool, device: str) -> Sitting:
    t, cores = recipe.training, os.cpu_count() or 1
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return Sitting(hours, finish, device, min(t.processes, cores), t.batch, max(0, cores // t.processes - 1))
    return Sitting(hours, finish, device, 1, t.batch_accelerator, max(1, cores - 1))


def pack(folder: Path, state: Path, recipe: Recipe | None = None) -> Model:
    """A package of the averaged weights in a checkpoint, see `sit`, with its score on numbers of glyphs held out."""
    recipe = recipe or load_recipe()
    progress, tensors = load_checkpoint(state)
    net = _network(recipe)
    net.load_state_dict(deepened(tensors, net)["average"])
    glyphs, t = state.parent / "glyphs", recipe.training
    graph = in_eight_bits(line_graph_bytes(net), composed_lines(recipe, glyphs))
    manifest = Manifest(
        name=folder.name,
        summary=recipe.summary,
        reads="number",
        architecture=DEEP_NUMBERS,
        parameters=sum(p.numel() for p in net.parameters()),
        classes=(*strings.SYMBOLS, "blank"),
        reframing=recipe.reframing,
        sources=prepare_glyphs(recipe, glyphs),
        training={
            "loss": "connectionist temporal classification",
            "optimiser": f"Adam, rate {t.rate:g}, warm-up, constant"
            + (", falling at the end" if progress.decayed > 0 else ""),
            "weights averaged over": f"about {1 / (1 - t.average):.0f} steps",
            "numbers composed": progress.numbers,
            "hours": round(progress.hours, 2),
            "date": date.today().isoformat(),
            "machine": platform.machine(),
        },
        scores=scores_of(partial(steps_in, graph), recipe, glyphs),
        licence=MNIST_LICENCE,
    )
    return save_package(folder, manifest, weights_bytes(net), graph)


def composed_lines(recipe: Recipe, glyphs: Path) -> strings.Lines:
    """Numbers composed as they are learned from, by which the scales of eight bits are taken."""
    known, papers = load_glyphs(recipe, glyphs), paper.make_papers(recipe.seed)
    return strings.epoch(known, papers, CALIBRATED_BY, [recipe.seed, 8], parse(recipe.reframing), marked=True)[0]


def _network(recipe: Recipe) -> NumberNet:
    return NumberNet(recipe.widths, len(strings.SYMBOLS) + 1, DEEP_NUMBERS)


Checks = list[tuple[strings.Lines, list[str]]]
Steps = Callable[[strings.Lines], Iterable[tuple[int, ctc.LineProbabilities]]]


def check_sets(recipe: Recipe, glyphs: Path) -> Checks:
    """The numbers a recogniser is judged by: one set for each seed of composing."""
    return [check_set(recipe, glyphs, _CHECK_EACH, seed, marked=True) for seed in range(_CHECK_SEEDS)]


def scores_of(steps: Steps, recipe: Recipe, glyphs: Path) -> dict[str, float]:
    """What a package says of how a recogniser reads the sets that it is judged by, see `judge_all`."""
    score = judge_all(steps, check_sets(recipe, glyphs))
    name = f"{_CHECK_SEEDS} x {_CHECK_EACH} composed numbers of glyphs and writers held out, one view"
    return {
        f"{name}: digits": round(score.digits, 4),
        f"{name}: digits and marks": round(score.symbols, 4),
        f"{name}: digits where nothing is struck out": round(score.plain, 4),
    }


def judge_all(steps: Steps, checks: Checks) -> Score:
    """What a recogniser, with marks or without, makes of all the sets. steps: as `steps_of` gives them."""
    digits, symbols, plain = [], [], []
    for lines, labels in checks:
        for i, found in steps(lines):
            right = ctc.collapse(ctc.fold(found).argmax(1)) == strings.digits_of(labels[i])
            digits.append(right)
            symbols.append(ctc.collapse(found.argmax(1), strings.SYMBOLS) == labels[i])
            if not set(labels[i]) & set("X "):
                plain.append(right)
    return Score(*(float(np.mean(each)) for each in (digits, symbols, plain)))


def together(processes: int, work: Callable[..., None], *args: Any) -> None:
    """Run `work(rank, *args)` in so many processes that train one network; torch.distributed over files, gloo."""
    with scratch() as folder:
        torch.multiprocessing.spawn(_join, (processes, folder, work, args), nprocs=processes)  # type: ignore[attr-defined, no-untyped-call]


def _join(rank: int, processes: int, folder: str, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    end_with(os.getppid(), lambda: os._exit(1))  # else it would write the files of the next training
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/meet", rank=rank, world_size=processes, timeout=timedelta(hours=2)
    )
    try:
        work(rank, *args)
    finally:
        torch.distributed.destroy_process_group()


class _ComposedNumbers(torch.utils.data.IterableDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Batches of composed numbers without end: (N, 32, W) uint8 and labels (N, L).

    The batches of one pool are of like width, and in all processes the n-th batch is about as wide, so that none waits.
    """

    def __init__(self, recipe: Recipe, glyphs: Path, batch: int, seed: list[int], falling: bool) -> None:
        self.recipe, self.glyphs, self.batch, self.seed = recipe, glyphs, batch, seed
        self.ordinary = recipe.training.ordinary_at_end if falling else strings.ORDINARY

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        info = torch.utils.data.get_worker_info()
        worker = info.id if info else 0
        glyphs, papers = load_glyphs(self.recipe, self.glyphs), paper.make_papers(self.recipe.seed)
        frame, pool = parse(self.recipe.reframing), 0
        while True:
            seed = [*self.seed, worker, pool]
            lines, labels = strings.epoch(glyphs, papers, _POOL * self.batch, seed, frame, True, self.ordinary)
            by_width = np.argsort(lines.widths, kind="stable")
            for part in np.random.default_rng(pool).permutation(_POOL):
                rows = by_width[part * self.batch : (part + 1) * self.batch]
                yield torch.from_numpy(lines[rows]), torch.from_numpy(labels[rows])
            pool += 1


def _train(rank: int, recipe: Recipe, state: Path, sitting: Sitting, tell: Tell) -> None:
    """One of the processes: composes its own numbers; the first keeps the checkpoint and tells how it goes."""
    torch.set_num_threads(1)
    loop.seed_all(recipe.seed)
    run = _Run(recipe, state, sitting, rank)
    checks = check_sets(recipe, state.parent / "glyphs") if rank == 0 else []
    falling = sitting.finish or run.progress.decayed > 0
    data = _ComposedNumbers(
        recipe, state.parent / "glyphs", sitting.batch, [recipe.seed, run.progress.sitting, rank], falling
    )
    loader = torch.utils.data.DataLoader(
        data,
        batch_size=None,
        num_workers=sitting.workers,
        prefetch_factor=4 if sitting.workers else None,
        pin_memory=sitting.device != "cpu",
    )
    batches = iter(loader)
    started = asked = told = saved = checked = time.monotonic()
    loss, waited, steps = 0.0, 0.0, 0
    while True:
        asked = time.monotonic()
        pictures, labels = next(batches)
        waited += time.monotonic() - asked
        value, ended = run.step(pictures, labels, (time.monotonic() - started) / 3600)
        loss, steps, now = loss + value, steps + 1, time.monotonic()
        if rank == 0 and (ended or now - told > _TELL_SECONDS):
            tell(f"{run.progress.numbers:,} numbers, {run.hours:.2f} hours, loss {loss / steps:.3f}")
            told = now
        if rank == 0 and (ended or now - checked > _CHECK_SECONDS):
            score = judge_all(partial(steps_of, run.average), checks)
            share = waited / (now - checked)
            run.log(f"{loss / steps:.4f},{share:.3f},{score.digits:.4f},{score.symbols:.4f},{score.plain:.4f}")
            tell(
                f"composed numbers held out: {score.digits:.1%} of digits right, {score.plain:.1%} where nothing is "
                f"struck out, {score.symbols:.1%} with marks; {share:.0%} of the time waiting for numbers"
            )
            loss, waited, steps, checked = 0.0, 0.0, 0, time.monotonic()
        if rank == 0 and (ended or now - saved > _SAVE_SECONDS):
            run.save()
            saved = time.monotonic()
        if ended:
            return


class _Run:
    """The network, its averaged copy and its optimiser, on from the checkpoint."""

    def __init__(self, recipe: Recipe, state: Path, sitting: Sitting, rank: int) -> None:
        self.recipe, self.state, self.sitting, self.rank = recipe, state, sitting, rank
        self.net, self.average = _network(recipe), _network(recipe)
        self.average.load_state_dict(self.net.state_dict())
        self.progress, tensors = load_checkpoint(state) if state.exists() else (TrainingProgress(), {})
        if tensors:
            tensors = deepened(tensors, self.net)
            self.net.load_state_dict(tensors["net"])
            self.average.load_state_dict(tensors["average"])
        self.net.to(sitting.device).to(memory_format=torch.channels_last)
        self.average.to(sitting.device)
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=recipe.training.rate, fused=True)
        if tensors:
            for name, p in self.net.named_parameters():
                self.optimiser.state[p] = {
                    "step": torch.tensor(float(self.progress.steps), device=p.device),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": tensors["exp_avg_sq"][name].to(p).contiguous(memory_format=_order(p)),
                }
        self.before, self.decay_begun = self.progress.hours, self.progress.decayed
        self.hours = self.before
        self.progress.sitting += 1

    def step(self, pictures: torch.Tensor, labels: torch.Tensor, hours: float) -> tuple[float, bool]:
        """Learn from a batch, `hours` into this sitting; its loss, and whether the sitting ends with it."""
        t, p = self.recipe.training, self.progress
        self.hours = self.before + hours
        p.decayed = self._decayed(hours)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        self.net.train()
        device = self.sitting.device
        input_ = as_input(pictures.to(device, non_blocking=True)).contiguous(memory_format=torch.channels_last)
        loss = loop.symbol_loss(self.net(input_), labels.to(device, non_blocking=True))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        ended = hours >= self.sitting.hours or p.decayed >= 1
        ended = loop.agree(list(self.net.parameters()), t.clip, ended)
        self.optimiser.step()
        p.steps += 1
        p.numbers += len(pictures) * self.sitting.processes
        self._follow(min(t.average, (1 + p.steps) / (10 + p.steps)))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(f"training loss is {value} after {p.numbers:,} numbers; lower the rate ({t.rate:g})")
        return value, ended

    @property
    def rate(self) -> float:
        """Of the next step: rising, constant, or falling as 1 - sqrt of how far the fall is."""
        t, p = self.recipe.training, self.progress
        return t.rate * min(1.0, (p.numbers + t.batch) / t.warm_up) * (1 - math.sqrt(min(p.decayed, 1.0)))

    def _decayed(self, hours: float) -> float:
        """How far the fall of the rate is, 0 to 1: by time where this sitting is to finish, else by numbers."""
        t = self.recipe.training
        if self.sitting.finish and math.isfinite(self.sitting.hours):
            return self.decay_begun + (1 - self.decay_begun) * hours / self.sitting.hours
        begin = t.numbers * (1 - t.decay)
        return max(0.0, (self.progress.numbers - begin) / (t.numbers - begin))

    def _follow(self, decay: float) -> None:
        with torch.no_grad():
            mine, other = self.average.state_dict(), self.net.state_dict()
            names = [name for name, value in mine.items() if value.is_floating_point()]
            torch._foreach_lerp_([mine[n] for n in names], [other[n] for n in names], 1 - decay)

    def log(self, figures: str) -> None:
        """A line of `LOG_COLUMNS`."""
        path = self.state.parent / LOG
        head = "" if path.exists() else f"{LOG_COLUMNS}\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{head}{self.hours:.3f},{self.progress.numbers},{self.rate:.2e},{figures}\n")

    def save(self) -> None:
        """The checkpoint, whole or not at all."""
        self.progress.hours = self.hours
        squares = {name: self.optimiser.state[p]["exp_avg_sq"] for name, p in self.net.named_parameters()}
        parts = {"net": self.net.state_dict(), "average": self.average.state_dict(), "exp_avg_sq": squares}
        save_checkpoint(self.state, self.progress, parts)


def _order(p: torch.Tensor) -> torch.memory_format:
    return torch.channels_last if p.ndim == 4 else torch.contiguous_format
