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

from inkshift.datasets import catalog, crops, overlap
from inkshift.datasets.formats import LabelledImages
from inkshift.models import training
from inkshift.models.export import graph_bytes, weights_bytes
from inkshift.models.metrics import scores
from inkshift.models.networks import mnist_convnet
from inkshift.models.package import Manifest, Model, Source, save_package
from inkshift.reframe import parse

Report = Callable[[str, int, int, float], None]
Data = Callable[[int], tuple[training.Images, training.Labels]]

AS_PUBLISHED_REFRAMING = "gray|square|margin(0.2)|resize(28)|invert"
REFRAMING = "gray|light_ink|stretch|trim|square|margin(0.2)|resize(28)|center_mass"
_FRAME = parse(REFRAMING).after("trim")

MNIST_LICENCE = "CC BY-SA 3.0 (whether share-alike reaches weights is unsettled)"
MNIST_CITE = "LeCun, Cortes, Burges 1998, The MNIST database of handwritten digits"


def _quiet(name: str, epoch: int, epochs: int, loss: float) -> None:
    pass


def _tell(report: Report, name: str, epochs: int, epoch: int, loss: float) -> None:
    report(name, epoch, epochs, loss)


def mnist_as_published(folder: Path, work: Path, *, epochs: int = 15, seeds: int = 5, report: Report = _quiet) -> Model:
    """The network of Pacchiotti et al. 2023, section 3.3: trained on MNIST alone, nothing added.

    Trains `seeds` networks (the card states mean and range of each score on MNIST test, their Table 1)
    and packs the first. folder: the package. work: checkpoints; a killed run goes on from them.
    """
    images, labels = _arrays(catalog.load("mnist", "train"))
    test = _arrays(catalog.load("mnist", "test"))
    results, first = [], None
    for seed in range(seeds):
        training.seed_all(seed)
        net = mnist_convnet()
        settings = training.Settings(epochs=epochs, seed=seed)
        training.train(
            net,
            lambda epoch: (images, labels),
            settings,
            checkpoint=work / f"seed-{seed}.pt",
            report=partial(_tell, report, f"seed {seed}", epochs),
        )
        results.append(scores(training.predict(net, test[0]).argmax(1), test[1], 10))
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
        sources=(Source(name="MNIST train", images=len(images), licence=MNIST_LICENCE, cite=MNIST_CITE),),
        training=_settings(settings) | {"seeds": seeds},
        scores={f"MNIST test, {key}": _spread([r[key] for r in results]) for key in results[0]},
        licence=MNIST_LICENCE,
    )
    return save_package(folder, manifest, weights_bytes(first), graph_bytes(first))


def digits(
    folder: Path, work: Path, *, epochs: int = 24, count: int = 120_000, seed: int = 0, report: Report = _quiet
) -> Model:
    """The default: the same convolutional layers, two more classes, glyphs of four sets redrawn each epoch.

    The temperature of number probabilities is fitted afterwards, by `benchmarks/fit_lattice.py --write`.
    """
    pool, sources = glyph_pool()
    test = _arrays(catalog.load("mnist", "test"))
    framed = np.stack([_FRAME(image, ground=0) for image in test[0]])
    training.seed_all(seed)
    net = mnist_convnet(len(crops.CLASSES))
    settings = training.Settings(epochs=epochs, seed=seed, anneal=True)
    with _drawn_ahead(pool, count, seed, epochs) as data:
        training.train(
            net,
            data,
            settings,
            checkpoint=work / f"digits-{seed}.pt",
            report=partial(_tell, report, "digits", epochs),
        )
    result = scores(training.predict(net, framed)[:, :10].argmax(1), test[1], 10)
    manifest = Manifest(
        name=folder.name,
        summary=(
            "Reads one cut-out digit. The convolutional layers of `mnist-as-published`, trained on digits of four sets "
            "redrawn with other pens, slants and resolutions, as they look when a form is cut up, with two more "
            "classes: junk (ink that is no digit) and crossed (a cell that is not used)."
        ),
        architecture="mnist-convnet",
        parameters=sum(p.numel() for p in net.parameters()),
        classes=crops.CLASSES,
        reframing=REFRAMING,
        sources=sources,
        training=_settings(settings) | {"pictures an epoch": count},
        scores={f"MNIST test, framed alike, {key}": value for key, value in result.items()},
        licence=MNIST_LICENCE,
    )
    return save_package(folder, manifest, weights_bytes(net), graph_bytes(net))


def glyph_pool() -> tuple[crops.Pool, tuple[Source, ...]]:
    """Glyphs of the sets whose weights may ship, without those that match an MNIST test digit."""
    test, test_labels = _framed(catalog.load("mnist", "test"))
    nist = catalog.load("nist_emnist", "train")
    drawn = catalog.load("handletters62", "train")
    parts: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]] = [_framed(catalog.load("mnist", "train"))]
    sources = [Source(name="MNIST train", images=len(parts[0][0]), licence=MNIST_LICENCE, cite=MNIST_CITE)]
    others = [(_digits_of(nist), 1), (catalog.load("optdigits32", "train"), 4), (_digits_of(drawn), 4)]
    for part, repeat in others:
        images, labels = _framed(part)
        limit = overlap.threshold_between(images, labels, test, test_labels)
        keep = overlap.nearest_correlation(images, test) <= limit
        entry = catalog.find(part.name.partition("/")[0])
        dropped = f"{int((~keep).sum())} dropped that correlate above {limit:.3f} with an MNIST test digit."
        note = f"{dropped} {entry.citation or 'Origin not explained.'}"
        sources.append(Source(name=entry.name, images=int(keep.sum()), licence=entry.licence, cite=note))
        parts.append((np.tile(images[keep], (repeat, 1, 1)), np.tile(labels[keep], repeat)))
    letters = [_of(nist, crops.JUNK_LETTERS), _of(drawn, crops.JUNK_LETTERS)]
    crosses = [_of(nist, crops.CROSS_LETTERS), _of(drawn, crops.CROSS_LETTERS)]
    count = sum(map(len, letters)) + sum(map(len, crosses))
    note = "Letters that no digit looks like, for junk, and x, for crossed, of the two sets above."
    sources.append(Source(name="nist_emnist, handletters62", images=count, licence="as above", cite=note))
    pool = crops.make_pool(
        np.concatenate([p[0] for p in parts]),
        np.concatenate([p[1] for p in parts]),
        np.concatenate(letters),
        np.concatenate(crosses),
    )
    return pool, tuple(sources)


def _of(data: LabelledImages, classes: frozenset[str]) -> npt.NDArray[np.uint8]:
    rows = np.flatnonzero(np.isin(data.labels, sorted(classes)))
    return np.stack([parse(REFRAMING)(data.images[int(i)]) for i in rows])


def _digits_of(data: LabelledImages) -> LabelledImages:
    rows = np.flatnonzero(np.char.isdigit(data.labels))
    return LabelledImages([data.images[int(i)] for i in rows], data.labels[rows], data.name)


def _arrays(data: LabelledImages) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    return np.asarray(data.images, np.uint8), data.labels.astype(np.int64)


def _framed(data: LabelledImages) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    whole = parse(REFRAMING)
    return np.stack([whole(image) for image in data.images]), data.labels.astype(np.int64)


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

        def data(epoch: int) -> tuple[training.Images, training.Labels]:
            for e in range(epoch, min(epoch + 2, epochs)):
                if e not in ahead:
                    ahead[e] = workers.submit(_draw, count, seed, e)
            images, labels = ahead.pop(epoch).result()
            return images, labels

        yield data


def _settings(settings: training.Settings) -> dict[str, Any]:
    return {
        "loss": "cross-entropy",
        "optimiser": f"Adam, rate {settings.rate:g}" + (", cosine to zero" if settings.anneal else ""),
        "batch": settings.batch,
        "epochs": settings.epochs,
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {settings.threads} thread",
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 5),
        "lowest": round(min(values), 5),
        "highest": round(max(values), 5),
        "n": len(values),
    }
