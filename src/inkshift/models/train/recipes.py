"""How the two shipped packages are made: `inkshift model train mnist-as-published` and `... digits`."""

from __future__ import annotations

import multiprocessing
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inkshift.datasets import catalog
from inkshift.datasets.synth import crops
from inkshift.models.metrics import scores
from inkshift.models.package import Manifest, Model, Source, save_package
from inkshift.models.train import glyphs, loop
from inkshift.models.train.networks import graph_bytes, mnist_convnet, weights_bytes
from inkshift.reframe import parse

Report = Callable[[str, int, int, float], None]
Data = Callable[[int], tuple[loop.Images, loop.Labels]]

AS_PUBLISHED_REFRAMING = "gray|square|margin(0.2)|resize(28)|invert"
_FRAME = parse(glyphs.REFRAMING).after("trim")


def mnist_as_published(folder: Path, work: Path, *, epochs: int = 15, seeds: int = 5, report: Report) -> Model:
    """The network of Pacchiotti et al. 2023, section 3.3: trained on MNIST alone, nothing added.

    Trains `seeds` networks (the card states mean and range of each score on MNIST test, their Table 1)
    and packs the first. folder: the package. work: checkpoints; a killed run goes on from them.
    """
    images, labels = glyphs.arrays(catalog.load("mnist", "train"))
    test = glyphs.arrays(catalog.load("mnist", "test"))
    results, first = [], None
    for seed in range(seeds):
        loop.seed_all(seed)
        net = mnist_convnet()
        settings = loop.LoopSettings(epochs=epochs, seed=seed)
        loop.train(
            net,
            lambda epoch: (images, labels),
            settings,
            checkpoint=work / f"seed-{seed}.pt",
            report=partial(report, f"seed {seed}", epochs),
        )
        results.append(scores(loop.predict(net, test[0]).argmax(1), test[1], 10))
        first = first or net
    assert first is not None
    manifest = Manifest(
        name=folder.name,
        summary=(
            "The convnet of the Keras documentation that Pacchiotti et al. (2023) reuse unchanged, trained on MNIST "
            "as they trained it. It is here so that every gain can be shown beside it; to read forms, use `digits`."
        ),
        architecture="mnist-convnet",
        parameters=34826,
        classes=tuple("0123456789"),
        reframing=AS_PUBLISHED_REFRAMING,
        sources=(Source(name="MNIST train", images=len(images), licence=glyphs.MNIST_LICENCE, cite=glyphs.MNIST_CITE),),
        training=_settings(settings) | {"seeds": seeds},
        scores={f"MNIST test, {key}": _spread([r[key] for r in results]) for key in results[0]},
        licence=glyphs.MNIST_LICENCE,
    )
    return save_package(folder, manifest, weights_bytes(first), graph_bytes(first))


def digits(folder: Path, work: Path, *, epochs: int = 24, count: int = 120_000, seed: int = 0, report: Report) -> Model:
    """The default: the same convolutional layers, two more classes, glyphs redrawn each epoch.

    The temperature of number probabilities is fitted afterwards, by `benchmarks/fit_lattice.py --write`.
    """
    pool, sources = glyph_pool()
    test = glyphs.arrays(catalog.load("mnist", "test"))
    framed = np.stack([_FRAME(image, ground=0) for image in test[0]])
    loop.seed_all(seed)
    net = mnist_convnet(len(crops.CLASSES))
    settings = loop.LoopSettings(epochs=epochs, seed=seed, anneal=True)
    with _drawn_ahead(pool, count, seed, epochs) as data:
        loop.train(
            net,
            data,
            settings,
            checkpoint=work / f"digits-{seed}.pt",
            report=partial(report, "digits", epochs),
        )
    result = scores(loop.predict(net, framed)[:, :10].argmax(1), test[1], 10)
    manifest = Manifest(
        name=folder.name,
        summary=(
            "Reads one cut-out digit. The convolutional layers of `mnist-as-published`, trained on digits of five sets "
            "and drawn ones, redrawn with other pens, slants and resolutions, as they look when a form is cut up, with "
            "two more classes: junk (ink that is no digit) and crossed (a cell that is not used)."
        ),
        architecture="mnist-convnet",
        parameters=sum(p.numel() for p in net.parameters()),
        classes=crops.CLASSES,
        reframing=glyphs.REFRAMING,
        sources=sources,
        training=_settings(settings) | {"pictures an epoch": count},
        scores={f"MNIST test, framed alike, {key}": value for key, value in result.items()},
        licence=glyphs.MNIST_LICENCE,
    )
    return save_package(folder, manifest, weights_bytes(net), graph_bytes(net))


def glyph_pool() -> tuple[crops.Pool, tuple[Source, ...]]:
    """Glyphs of `digit_sets`, Swiss and drawn ones, the small sets several times, with letters for junk and crosses."""
    sets = [*glyphs.digit_sets(), *glyphs.other_hands()]
    repeats = (1, 1, 4, 4, 3, 1)
    nist, drawn = catalog.load("nist_emnist", "train"), catalog.load("handletters62", "train")
    letters = [glyphs.of_classes(nist, crops.JUNK_LETTERS), glyphs.of_classes(drawn, crops.JUNK_LETTERS)]
    crosses = [glyphs.of_classes(nist, crops.CROSS_LETTERS), glyphs.of_classes(drawn, crops.CROSS_LETTERS)]
    count = sum(map(len, letters)) + sum(map(len, crosses))
    note = "Letters that no digit looks like, for junk, and x, for crossed, of the two sets above."
    junk = Source(name="nist_emnist, handletters62", images=count, licence="as above", cite=note)
    pool = crops.make_pool(
        np.concatenate([np.tile(images, (n, 1, 1)) for (_, images, _), n in zip(sets, repeats, strict=True)]),
        np.concatenate([np.tile(labels, n) for (_, _, labels), n in zip(sets, repeats, strict=True)]),
        np.concatenate(letters),
        np.concatenate(crosses),
    )
    return pool, (*(source for source, _, _ in sets), junk)


_POOL: list[crops.Pool] = []


def _keep_pool(pool: crops.Pool) -> None:
    _POOL.append(pool)


def _draw(count: int, seed: int, epoch: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    return crops.epoch(_POOL[-1], count, [seed, epoch], _FRAME)


@contextmanager
def _drawn_ahead(pool: crops.Pool, count: int, seed: int, epochs: int) -> Iterator[Data]:
    """Pictures for each epoch, drawn in a second process while the first one trains."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_keep_pool, initargs=(pool,)) as workers:
        ahead: dict[int, Any] = {}

        def data(epoch: int) -> tuple[loop.Images, loop.Labels]:
            for e in range(epoch, min(epoch + 2, epochs)):
                if e not in ahead:
                    ahead[e] = workers.submit(_draw, count, seed, e)
            images, labels = ahead.pop(epoch).result()
            return images, labels

        yield data


def _settings(settings: loop.LoopSettings) -> dict[str, Any]:
    return {
        "loss": "cross-entropy",
        "optimiser": f"Adam, rate {settings.rate:g}" + (", cosine to zero" if settings.anneal else ""),
        "batch": settings.batch,
        "epochs": settings.epochs,
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, 1 thread",
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 5),
        "lowest": round(min(values), 5),
        "highest": round(max(values), 5),
        "n": len(values),
    }
