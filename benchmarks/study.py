"""A study's runs against the recipe that people script, on the same work in the same run. Run by `make bench-study`.

    python benchmarks/study.py [--quick] [--out docs/results/study-speed.md]

The recipe is torchvision's resnet18 fed by PIL pictures and torchvision transforms through a DataLoader, float32, plain
Adam, a frozen trunk evaluated anew in every epoch, one run after another in one process with torch's own number of
threads. Ours is what `inkshift study run` does. Both learn MNIST from $INKSHIFT_DATA or ../shared/data, or digits drawn
here where it is absent. Each is timed in turn, several times over. Whatever it prints it can also write as Markdown.
"""

from __future__ import annotations

import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from inkshift import jobs
from inkshift.datasets import catalog
from inkshift.datasets.formats import load_npz
from inkshift.datasets.tasks import stratified
from inkshift.models.train.convolutions import use_shortcuts
from inkshift.models.train.networks import as_input, build, native_bfloat16, weights_bytes
from inkshift.reframe import parse
from inkshift.studies.characters.plan import plan
from inkshift.studies.engine import RunGroup, machine, versions, work_on
from inkshift.studies.kinds import kind_of
from inkshift.studies.record import DONE, EPOCHS, WEIGHTS, write_json
from inkshift.studies.spec import Study
from inkshift.studies.stats import decide, t_interval
from printed import options, show

CORES = len(os.sched_getaffinity(0))
BATCH, RATE, EPOCHS_FROZEN, MARGIN = 128, 0.001, 20, 0.01
MEASURES = {
    "memory": "uint8 pictures in memory, framed once, for PIL and DataLoader",
    "processes": f"{CORES} processes of one thread for one of {CORES}",
    "channels-last": "channels-last memory",
    "fused": "fused Adam",
    "shortcuts": "convolution shortcuts",
    "bfloat16": "bfloat16",
}
Measures = frozenset[str]
Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


class Size(NamedTuple):
    """How much work. epochs: how many of a frozen recipe's 20 are measured, and those of the pair of precisions."""

    repeats: int
    train: int
    test: int
    epochs: int
    replicates: int


FULL = Size(repeats=1, train=256, test=64, epochs=4, replicates=30)
QUICK = Size(repeats=1, train=40, test=20, epochs=1, replicates=3)


def write_pictures(folder: Path, size: Size) -> str:
    """train.npz and test.npz of 28x28 digits; returns what they are."""
    rng = np.random.default_rng(0)
    kind = "MNIST" if (catalog.data_root() / "mnist").is_dir() else "digits drawn in a line font, MNIST not being here"
    for split, count in (("train", size.train), ("test", size.test)):
        if kind == "MNIST":
            data = catalog.load("mnist", split)
            rows = stratified(data.labels.astype(np.int64), count, rng)
            images, labels = data.images[rows], data.labels[rows]
        else:
            images, labels = np.zeros((count, 28, 28), np.uint8), (np.arange(count) % 10).astype(str)
            for image, label in zip(images, labels, strict=True):
                at = (int(rng.integers(2, 10)), int(rng.integers(20, 27)))
                cv2.putText(image, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255,), 2, cv2.LINE_AA)
        np.savez(folder / f"{split}.npz", images=images, labels=labels)
    return kind


def read_pictures(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    data = load_npz(folder / f"{split}.npz")
    return np.asarray(data.images), data.labels.astype(np.int64)


class Pictures(torch.utils.data.Dataset):
    """As torchvision.datasets.MNIST gives them: a PIL picture, transformed each time it is asked for."""

    def __init__(self, folder: Path, split: str, side: int) -> None:
        from torchvision import transforms

        self.images, self.classes = read_pictures(folder, split)
        self.transform = transforms.Compose([transforms.Resize((side, side)), transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.classes[index])


def loader(folder: Path, split: str, side: int, workers: int) -> Batches:
    pictures = Pictures(folder, split, side)
    return torch.utils.data.DataLoader(pictures, BATCH, shuffle=split == "train", num_workers=workers)


def recipe_network() -> nn.Module:
    from torchvision.models import resnet18

    net = resnet18(num_classes=10)
    net.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    return net


def learn(net: nn.Module, batches: Batches, optimiser: torch.optim.Optimizer, measures: Measures = frozenset()) -> None:
    """One epoch."""
    for pictures, labels in batches:
        if "channels-last" in measures:
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in measures):
            logits = net(pictures)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()


def recipe(folder: Path, side: int, epochs: int, frozen: bool, workers: int) -> None:
    """One run as it is scripted: training and a look at the test images in every epoch."""
    net = recipe_network()
    if frozen:
        net.requires_grad_(False)
        net.fc = nn.Linear(512, 10)
    train, test = (loader(folder, split, side, workers) for split in ("train", "test"))
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=RATE)
    for _ in range(epochs):
        learn(net.train(not frozen), train, optimiser)
        net.eval()
        with torch.no_grad():
            for pictures, labels in test:
                (net(pictures).argmax(1) == labels).sum().item()


def study(data: Path, side: int, regime: str, replicates: int, epochs: int, **protocol: object) -> Study:
    task = {"data": str(data), "labels": "digits"}
    settings = {"reframing": f"gray|light_ink|resize({side})", "batch": BATCH, "rate": RATE, "epochs": epochs}
    one = {"name": "one", "source": task, "target": task, "same_domain": True, "regimes": [regime]}
    protocol = settings | {"stop": "never"} | protocol
    return Study(name="speed", replicates=replicates, packages="none", protocol=protocol, set=(one,))


random_weights = cache(lambda side: weights_bytes(build("resnet18", 10, side)))


def jobs_of(study: Study, folder: Path) -> list[RunGroup]:
    """As the engine makes them: a process a run, or one for all frozen runs of a trunk, whose weights are random."""
    planned = plan(study)
    for source in planned.sources:
        where = folder / "runs" / source.key
        where.mkdir(parents=True)
        (where / WEIGHTS).write_bytes(random_weights(source.protocol.side))
        write_json(where / DONE, {})
    groups: dict[str, tuple[Any, ...]] = {}
    for run in planned.targets:
        group = str(run.source) if run.batched else run.key
        groups[group] = (*groups.get(group, ()), run)
    return [RunGroup(runs, folder, "cpu", frozenset(), kind_of(study)) for runs in groups.values()]


def timed(job: RunGroup) -> tuple[float, float]:
    """When a job began, in a process that has started up, and when it ended."""
    import timm  # noqa: F401

    import inkshift.studies.characters.deliver
    import inkshift.studies.characters.frozen  # noqa: F401

    begin = time.monotonic()
    for key, problem in work_on(job):
        if problem:
            raise RuntimeError(f"{key}: {problem}")
    return begin, time.monotonic()


def run_jobs(todo: list[RunGroup]) -> list[tuple[float, float]]:
    return [span for _, span in jobs.run(timed, [(job.key, job) for job in todo], workers=CORES, fresh=True)]


def engine(study: Study) -> tuple[float, float]:
    """Seconds that a study's target runs take with a process a core: without start-up of the processes, and with it."""
    with tempfile.TemporaryDirectory() as folder:
        todo, start = jobs_of(study, Path(folder)), time.monotonic()
        spans, whole = run_jobs(todo), time.monotonic() - start
    return sum(end - begin for begin, end in spans) / min(CORES, len(todo)), whole


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def spread(values: list[float], form: str = ".1f") -> str:
    middle = f"**{statistics.median(values):{form}}**"
    return middle if len(values) < 2 else f"{middle} ({min(values):{form}} to {max(values):{form}})"


def row(title: str, images: int, theirs: list[float], ours: list[tuple[float, float]], asked: int = 0) -> str:
    """images: how many go through the network in the recipe."""
    before, after = statistics.median(theirs), statistics.median(own for own, _ in ours)
    plain = [a / own for a, (own, _) in zip(theirs, ours, strict=True)]
    whole = [a / own for a, (_, own) in zip(theirs, ours, strict=True)]
    return (
        f"| {title} | {before:.1f} s, {images / before:.0f} images/s | {after:.1f} s, {images / after:.0f} images/s "
        f"| {spread(plain)} | {spread(whole)} | {f'at least {asked}' if asked else ''} |"
    )


def trained(data: Path, side: int, size: Size, workers: int) -> str:
    theirs, ours = [], []
    for _ in range(size.repeats):
        theirs.append(seconds(lambda: [recipe(data, side, 1, False, workers) for _ in range(CORES)]))
        ours.append(engine(study(data, side, "control", CORES, 1)))
    return row(
        f"{side} px, {CORES} runs, 1 epoch", CORES * (size.train + size.test), theirs, ours, 2 if side == 64 else 0
    )


def frozen(data: Path, side: int, size: Size, workers: int) -> Iterator[str]:
    works = {"1 run": (1, "one"), f"{CORES} runs, a trunk each": (CORES, "each")}
    works[f"{size.replicates} runs on one trunk"] = (size.replicates, "one")
    theirs: list[float] = []
    ours: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(size.repeats):
        taken = seconds(lambda: recipe(data, side, size.epochs, True, workers))
        theirs.append(taken * EPOCHS_FROZEN / size.epochs)
        for name, (runs, trunks) in works.items():
            ours[name].append(engine(study(data, side, "frozen", runs, EPOCHS_FROZEN, source_networks=trunks)))
    for name, (runs, _) in works.items():
        images = runs * EPOCHS_FROZEN * (size.train + size.test)
        asked = 18 if side == 64 else 0
        yield row(f"{side} px, {name}, {EPOCHS_FROZEN} epochs", images, [runs * t for t in theirs], ours[name], asked)


_together: Any = None  # what the epochs of several processes wait at for each other


def begin_together(barrier: Any) -> None:
    """In a process of the ablation: what its epochs wait at for those of the others."""
    global _together
    _together = barrier


def one_epoch(data: Path, side: int, measures: Measures, workers: int) -> float:
    """Seconds of one epoch of training by the recipe with some of our measures; building and framing left out."""
    net = recipe_network().train()
    if "shortcuts" in measures:
        use_shortcuts(net)
    if "channels-last" in measures:
        net = net.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE, fused=True if "fused" in measures else None)
    batches = from_memory(data, side) if "memory" in measures else loader(data, "train", side, workers)
    if "processes" in measures:
        torch.set_num_threads(1)
        _together.wait()
    return seconds(lambda: learn(net, batches, optimiser, measures))


def abreast(pool: ProcessPoolExecutor, epoch: Callable[[], float]) -> float:
    """Seconds an epoch where each core does one at the same time."""
    return max(done.result() for done in [pool.submit(epoch) for _ in range(CORES)]) / CORES


def from_memory(data: Path, side: int) -> Batches:
    images, classes = read_pictures(data, "train")
    frame = parse(f"gray|light_ink|resize({side})")
    pictures, labels = torch.from_numpy(np.stack([frame(image) for image in images])), torch.from_numpy(classes)
    return ((as_input(pictures[rows]), labels[rows]) for rows in torch.randperm(len(labels)).split(BATCH))


def ablation(data: Path, size: Size, workers: dict[int, int]) -> Iterator[str]:
    measures = [name for name in MEASURES if name != "bfloat16" or native_bfloat16()]
    variants = [frozenset[str](), *(frozenset([name]) for name in measures), frozenset(measures)]
    rates: dict[tuple[int, Measures], list[float]] = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(CORES, context, begin_together, (context.Barrier(CORES),)) as pool:
        for _ in range(size.repeats):
            for side in workers:
                for variant in variants:
                    epoch = partial(one_epoch, data, side, variant, workers[side])
                    took = abreast(pool, epoch) if "processes" in variant else epoch()
                    rates.setdefault((side, variant), []).append(size.train / took)
    yield f"| measure | {' | '.join(f'{side} px: images/s | times the recipe' for side in workers)} |"
    yield "|---|" + "---|---|" * len(workers)
    for variant in variants:
        title = MEASURES[next(iter(variant))] if len(variant) == 1 else "all of these" if variant else "the recipe"
        cells = [title]
        for side in workers:
            mine, base = rates[side, variant], rates[side, variants[0]]
            cells += [f"{statistics.median(mine):.0f}", spread([a / b for a, b in zip(mine, base, strict=True)], ".2f")]
        yield f"| {' | '.join(cells)} |"


def of_peak(precision: str) -> list[tuple[int, float, float, float]]:
    """In a process of its own, on one thread: for each side, the GFLOP of one image forwards and backwards, images a
    second in training, and the GFLOP a second of a product of two large matrices."""
    torch.set_num_threads(1)
    kind = getattr(torch, precision)
    a, b = (torch.randn(2048, 2048).to(kind) for _ in range(2))
    product = 2 * 2048**3 / 1e9 / min(seconds(lambda: a @ b) for _ in range(5))
    out = []
    for side in (32, 64, 128):
        batch = [(torch.rand(BATCH // 2, 1, side, side), torch.zeros(BATCH // 2, dtype=torch.int64))]
        with FlopCounterMode(display=False) as counter:
            recipe_network().train()(batch[0][0][:2]).sum().backward()
        each = counter.get_total_flops() / 2 / 1e9
        net = recipe_network().train()
        use_shortcuts(net)
        net = net.to(memory_format=torch.channels_last)
        how = frozenset({"channels-last"} | ({"bfloat16"} if precision == "bfloat16" else set()))
        optimiser = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
        rate = BATCH / 2 / min(seconds(lambda: learn(net, batch, optimiser, how)) for _ in range(4))  # noqa: B023
        out.append((side, each, rate, product))
    return out


def peak() -> Iterator[str]:
    """How far training is from what the processor multiplies at most: a large matrix product, as fast as it gets."""
    yield "| precision | side | GFLOP an image | images/s | GFLOP/s | of a matrix product's | share |"
    yield "|---|---|---|---|---|---|---|"
    has = torch.cpu.get_capabilities()
    for precision in ("float32", *(["bfloat16"] if has.get("avx512_bf16") or has.get("bf16") else [])):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            for side, each, rate, product in pool.submit(of_peak, precision).result():
                done = each * rate
                yield (
                    f"| {precision} | {side} px | {each:.2f} | {rate:.0f} | {done:.0f} | {product:.0f} | "
                    f"**{done / product:.0%}** |"
                )


def precision_pair(data: Path, size: Size) -> str:
    """F1 with and without bfloat16, replicate by replicate, held against a study's margin."""
    if not native_bfloat16():
        return "Not measured: this processor has no bfloat16 that is faster, so `auto` takes float32 here."
    settings = {"side": 32, "regime": "control", "replicates": 5, "epochs": size.epochs}
    scores = [last_f1(study(data, precision=precision, **settings)) for precision in ("float32", "bfloat16")]
    found = t_interval(np.subtract(scores[1], scores[0]), 0.90)
    return (
        f"bfloat16 minus float32, 32 px, 5 replicates, {size.epochs} epochs of {size.train} images: "
        f"F1 {found.mean:+.4f}, 90 % interval {found.low:+.4f} to {found.high:+.4f}, margin {MARGIN:g}: "
        f"**{decide(found, MARGIN)}**."
    )


def last_f1(study: Study) -> list[float]:
    """Macro F1 of each of a study's runs after its last epoch."""
    with tempfile.TemporaryDirectory() as folder:
        run_jobs(todo := jobs_of(study, Path(folder)))
        written = [(Path(folder) / "runs" / job.runs[0].key / EPOCHS).read_text() for job in todo]
        return [float(list(csv.DictReader(table.splitlines()))[-1]["f1"]) for table in written]


def quicker_loader(data: Path, side: int) -> tuple[int, str]:
    """How many DataLoader workers serve the recipe best, and how that was seen."""
    recipe_network()(torch.zeros(BATCH, 1, side, side)).sum().backward()  # the first time costs more
    taken = {workers: one_epoch(data, side, frozenset(), workers) for workers in (0, CORES)}
    best = min(taken, key=taken.__getitem__)
    found = ", ".join(f"{workers}: {one:.1f} s" for workers, one in taken.items())
    return best, f"DataLoader workers at {side} px, seconds an epoch: {found}; the recipe is given {best}."


def lines(size: Size) -> Iterator[str]:
    made = f"{date.today().isoformat()}, {machine()}, " + ", ".join(f"{n} {v}" for n, v in versions().items())
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        kind = write_pictures(data, size)
        yield "# The speed of a study, measured"
        yield f"\nPrinted by `make bench-study` on {made}.\n"
        precision = "bfloat16" if native_bfloat16() else "float32, since this processor has no bfloat16 that is faster"
        yield (
            f"ResNet-18 on {kind}, batches of {BATCH}. The recipe: one process of {torch.get_num_threads()} threads, "
            f"one run after another; the engine: {CORES} processes of one thread, in {precision}. Timed in turn, "
            f"{'once' if size.repeats == 1 else f'{size.repeats} times: the median, and the range in brackets'}."
        )
        workers = {}
        for side in (64, 32):
            workers[side], note = quicker_loader(data, side)
            yield f"\n{note}"
        yield from tables(data, size, workers)


def tables(data: Path, size: Size, workers: dict[int, int]) -> Iterator[str]:
    head = "| work | recipe | engine | times as fast | with start-up | asked |\n|---|---|---|---|---|---|"
    yield f"\n## Fully trained\n\n{head}"
    for side in workers:
        yield trained(data, side, size, workers[side])
    yield f"\n## Frozen\n\n{head}"
    for side in workers:
        yield from frozen(data, side, size, workers[side])
    yield (
        f"\nA run has {size.train} training and {size.test} test images. Start-up is that of a process for each job. "
        f"Of the frozen recipe, {size.epochs} of {EPOCHS_FROZEN} epochs of one run were timed and multiplied, "
        "its epochs and runs being alike; the engine's work was done whole. Its images/s are the recipe's in its time."
    )
    yield f"\n## What each measure brings alone\n\nOne epoch of training on {size.train} images.\n"
    yield from ablation(data, size, workers)
    yield "\n## How far from the processor's peak\n\nThe engine's training on one thread, without framing.\n"
    yield from peak()
    yield f"\n## Precision\n\n{precision_pair(data, size)}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="a small check that all of it runs; its ratios say little")
    given = parser.parse_args()
    show(lines(QUICK if given.quick else FULL), given.out)


if __name__ == "__main__":
    main()
