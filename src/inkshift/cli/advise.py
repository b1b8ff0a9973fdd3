"""`inkshift advise`: should I reuse a model for these characters, which, how, and how many labels does it take?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkshift.cli.app import app, out
from inkshift.cli.show import count, note, table
from inkshift.errors import DataError, nearest

if TYPE_CHECKING:
    from inkshift.datasets.formats import LabelledImages
    from inkshift.studies.characters.advise import Advice, Measured


@app.command()
def advise(
    data: Annotated[
        str,
        typer.Argument(
            help="Labelled pictures of single characters: a folder with a folder for each class, or with train (and "
            "test), a CSV with file and label, or its folder, an npz, or a data set by name.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="MODEL",
            help="A model to start from, by name or folder; may be given again.",
            show_default="digits, mnist-as-published",
        ),
    ] = None,
    score: Annotated[float, typer.Option(min=0.01, max=0.999, help="Share read right that is wanted.")] = 0.95,
    replicates: Annotated[int, typer.Option(min=3, max=30, help="Folds that the labels are dealt into.")] = 5,
    to: Annotated[
        Path | None, typer.Option("--train", metavar="FOLDER", help="Try nothing: train --regime and pack it here.")
    ] = None,
    regime: Annotated[
        Literal["control", "frozen", "fine-tuned"], typer.Option(help="With --train: how to learn.")
    ] = "fine-tuned",
    depth: Annotated[
        int | None, typer.Option(min=1, help="With --train: stages of the source carried over.", show_default="all")
    ] = None,
) -> None:
    """Should I reuse a model for these characters, which one, how, and how many labels does it take?

    Takes minutes. Tries each way on parts of your labels, scores it on the others, and says what to expect with an
    interval, how many labels the wanted score takes, and the command that trains it. Where that cannot be told from
    your labels it says undecided.

    Examples:

      inkshift advise labelled/

      inkshift advise labelled/labels.csv --score 0.98
    """
    from inkshift.models.package import load_model
    from inkshift.studies.engine import need_extra

    need_extra()  # before what imports torch
    from inkshift.studies.characters.advise import Way, train
    from inkshift.studies.characters.advise import advise as try_out

    pictures = load(data)
    models = [load_model(name) for name in sources or ("digits", "mnist-as-published")]
    if to is not None:
        used = [] if regime == "control" else models[:1]
        way = Way(regime, used[0].manifest.name if used else "", depth if used else None)
        typer.echo(train(way, used, pictures, to).folder)
        return
    found = try_out(pictures, models, replicates=replicates, tell=note)
    _show(found, score, data, dict(zip([model.manifest.name for model in models], sources or (), strict=False)))


def load(data: str) -> LabelledImages:
    """Labelled images by the name of a data set or where they lie. Raises DataError where there are none."""
    from inkshift.datasets import formats
    from inkshift.datasets.catalog import CATALOG
    from inkshift.datasets.numbers import table_of
    from inkshift.datasets.tasks import load_all

    path = Path(data)
    if data in CATALOG or any(path.glob("train*")):
        return load_all(data)
    if not path.exists():
        raise DataError(f"{data}: no such folder or file, and no data set is called so; {nearest(data, CATALOG)}")
    if path.suffix == ".npz":
        return formats.load_npz(path)
    folders = path.is_dir() and any(one.is_dir() for one in path.iterdir())
    table = None if folders else table_of(path)
    return formats.load_csv(table) if table else formats.load_class_folders(path)


def _show(found: Advice, score: float, data: str, folders: dict[str, str]) -> None:
    from rich.console import Console

    columns = ("way", "labels", "read right", "expected of all", "90 %")
    shown = table(*columns, whole=columns)
    for one in sorted(found.measured, key=lambda one: -float(one.right.mean())):
        all_of_them = one.expected(found.labels)
        labels = "0" if one.way.regime == "as-is" else f"{one.labels[-1]:,}"
        shown.add_row(
            str(one.way), labels, _share(one.right.mean()), _share(all_of_them.mean), _span(one, found.labels)
        )
    Console(width=max(out.width, 110)).print(shown)
    for line in lines(found, score, data, folders):
        out.print(line, highlight=False, markup=False)


def lines(found: Advice, score: float, data: str, folders: dict[str, str]) -> list[str]:
    """The advice in sentences. folders: where a source that is no shipped model lies, by its name."""
    from inkshift.studies.characters.advise import FARTHEST

    best = found.best
    held = "writers" if found.grouped else "images"
    part = f", {found.tried:,} of them tried" if found.tried < found.labels else ""
    said = [
        f"{found.labels:,} labels of {len(found.classes)} classes{part}; scored on {held} that were not learned from."
    ]
    if found.gain:
        carried, replicates, images, _ = found.gain
        ways = count(sum(bool(one.way.source) for one in found.measured), "way")
        said.append(
            f"Does a source help? {found.helps}: {carried.way} minus control {100 * replicates.mean:+.1f} points "
            f"(90 % over replicates {_ends(replicates.low, replicates.high)}, over {held} "
            f"{_ends(images.low, images.high)}; a verdict holds for {ways} at once)."
        )
    expected = _share(best.expected(found.labels).mean)
    said.append(
        f"Best: {best.way}; of {found.labels:,} labels expect {expected} read right "
        f"(90 %: {_span(best, found.labels)})."
    )
    if found.open:
        said.append("Undecided against: " + "; ".join(str(one.way) for one in found.open) + ".")
    typical, low, high = best.needed(score)
    far = FARTHEST * found.labels
    if high <= 1:
        said.append(f"{_share(score)} read right takes no label of yours.")
    elif low > far:
        said.append(f"{_share(score)} read right is not to be had with {far:,} labels, by this curve.")
    elif high > far:
        said.append(f"{_share(score)} read right takes {_count(low)} labels or more; how many at most is undecided.")
    else:
        span = f"{_count(low)} to {_count(high)}"
        said.append(f"{_share(score)} read right takes about {_count(typical)} labels (90 %: {span}).")
    for name, values in found.scores.items():
        scores = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
        said.append(f"Before training, {name}: {scores}.")
    source = shlex.quote(folders.get(best.way.source, best.way.source)) if best.way.source else ""
    if best.way.regime == "as-is":
        said.append(f"Use it as it is: inkshift read PAGES --model {source}")
    else:
        part = f" --source {source}" if source else ""
        deep = f" --depth {best.way.depth}" if best.way.depth else ""
        said.append(
            f"Train it: inkshift advise {shlex.quote(data)} --train MODEL --regime {best.way.regime}{part}{deep}"
        )
    return said


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _span(one: Measured, labels: int) -> str:
    interval = one.expected(labels)
    return f"{_share(interval.low or 0)} to {_share(interval.high or 0)}"


def _ends(low: float | None, high: float | None) -> str:
    return "unknown" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"


def _count(labels: float) -> str:
    """Two digits of a number: more a curve does not know."""
    return f"{float(f'{labels:.2g}'):,.0f}"
