"""`inkshift model`: those that ship; models made anew, taught on own labels, adapted to own pages, or brought in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkshift.cli.app import app, out
from inkshift.cli.options import Json, Template
from inkshift.cli.show import note, table
from inkshift.errors import MissingExtraError, SettingError, lacks
from inkshift.files import cannot_write, locked

if TYPE_CHECKING:
    from inkshift.forms.reader import Reader
    from inkshift.models.package import Model
    from inkshift.models.train.adapt import Round

model_app = typer.Typer(no_args_is_help=True, help="List and show model packages; train those that ship.")
app.add_typer(model_app, name="model")

Name = Annotated[str, typer.Argument(help="A shipped model, or the folder of another.", show_default=False)]
Recipe = Annotated[
    Literal["mnist-as-published", "digits", "numbers"] | None,
    typer.Argument(help="A shipped model, to be made anew by its recipe.", show_default=False),
]
To = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The package to write.", show_default=False)]
Work = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where checkpoints are kept.", show_default="OUT.work beside it"),
]
From = Annotated[
    str, typer.Option("--from", metavar="MODEL", help="A model of whole numbers: its name, or a package's folder.")
]
Pages = Annotated[
    list[Path] | None,
    typer.Option(
        help="Pages, or, without a template, pictures of one number each, or folders of them; may be given again."
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(help="What is written: CSV with form (or file), field where a form has several, and value."),
]


@model_app.command("list")
def list_models(as_json: Json = False) -> None:
    """The models that ship with inkshift; `inkshift read` takes `digits` if none is named.

    Example: inkshift model list
    """
    from inkshift.models.package import load_model, shipped

    models = [load_model(name) for name in shipped()]
    if as_json:
        typer.echo(json.dumps([model.manifest.model_dump() for model in models], indent=2))
        return
    shown = table("name", "parameters", "classes", "what", left=("what",))
    for model in models:
        m = model.manifest
        shown.add_row(m.name, f"{m.parameters:,}", str(len(m.classes)), m.summary)
    out.print(shown, soft_wrap=False)


@model_app.command()
def show(name: Name, as_json: Json = False) -> None:
    """The card of one model: classes, reframing, what it learned from, licence, scores.

    Example: inkshift model show digits
    """
    from rich.markdown import Markdown

    from inkshift.models.package import card, load_model

    manifest = load_model(name).manifest
    if as_json:
        typer.echo(manifest.model_dump_json(indent=2))
    elif out.is_terminal:
        out.print(Markdown(card(manifest)), soft_wrap=False)
    else:
        typer.echo(card(manifest), nl=False)


@contextmanager
def making(to: Path, work: Path) -> Iterator[None]:
    """Nobody else makes the package `to`, or trains in `work`, meanwhile.

    Raises SettingError where another does, or something else than a package is there.
    """
    from inkshift.models.package import MANIFEST

    if to.exists() and not (to / MANIFEST).is_file():
        raise SettingError(f"--out {to}: is there already and is no model package; choose another folder")
    with ExitStack() as held:
        for place, named in {work: work, work_of(to): to}.items():
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
            except OSError as e:
                raise cannot_write(named, e) from None
            held.enter_context(locked(place, named))
        yield


def work_of(to: Path) -> Path:
    """Where the checkpoints of a package lie if nothing else is said."""
    return to.with_name(f"{to.name}.work")


@model_app.command()
def train(
    to: To,
    recipe: Recipe = None,
    work: Work = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the pictures.", show_default="the recipe's own")
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(min=0, help="numbers: length of this sitting; 0 packs what is there.", show_default="to the end"),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="numbers: let the rate fall to zero in these hours, for weights to keep.")
    ] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="numbers: where to train; auto takes what torch finds.")
    ] = "auto",
    base: From = "",
    pages: Pages = None,
    labels: Labels = None,
    template: Template = None,
) -> None:
    """Make a shipped model anew, or teach a model of whole numbers on your own labelled numbers.

    With --from: a fifth of the forms is held out to see when to stop. What it made of your numbers and of composed
    ones, before and after, is printed.

    A training that was stopped goes on from its last finished epoch when the same command is run again.

    Examples:

      inkshift model train digits --out models/digits

      inkshift model train --from numbers --pages amounts/ --labels labels.csv --out models/mine
    """
    _check()
    if (recipe is None) == (not base):
        raise SettingError("give the name of a recipe (digits, numbers ...), or --from MODEL with --pages and --labels")
    checkpoints = work or work_of(to)
    with making(to, checkpoints):
        if recipe is None:
            _teach(base, pages or [], labels, template, to, checkpoints, epochs)
            return
        if recipe == "numbers":
            if epochs:
                raise SettingError("--epochs: numbers are composed without end; give --hours")
            from inkshift.models.train import numbers

            numbers.pack(to, numbers.sit(checkpoints, hours=hours, finish=finish, device=device, tell=note))
        else:
            from inkshift.models.train import recipes

            makers: dict[str, Callable[..., Model]] = {
                "mnist-as-published": recipes.mnist_as_published,
                "digits": recipes.digits,
            }
            makers[recipe](to, checkpoints, report=_epoch_line, **({"epochs": epochs} if epochs else {}))
        note(f"wrote {to}; checkpoints are in {checkpoints}")


@model_app.command()
def adapt(
    pages: Annotated[
        list[Path],
        typer.Option(
            help="Pages that nobody labelled, or, without a template, pictures of one number each, or folders of "
            "them; may be given again."
        ),
    ],
    to: To,
    base: From = "numbers",
    template: Template = None,
    second_reader: Annotated[
        Literal["pp-ocrv6"] | None, typer.Option("--second-reader", help="A reading must be this one's too.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of reading and learning, at most.")] = 3,
    check_pages: Annotated[
        list[Path] | None, typer.Option("--check", help="Labelled pages, not among the others, to see the gain on.")
    ] = None,
    labels: Labels = None,
) -> None:
    """Adapt a model of whole numbers to your pages without any label.

    It reads the pages, learns from the readings that its own views agree on (and the second reader, where given), and
    reads again, until they agree no more than before. Composed numbers show that it forgets nothing; labelled pages
    given with --check and --labels show what was gained.

    Example: inkshift model adapt --pages scans/ --template form.json --out models/adapted
    """
    _check()
    if bool(check_pages) != bool(labels):
        raise SettingError("--check and --labels belong together: labelled pages, and what is written on them")
    from inkshift.forms.crops import teach
    from inkshift.models.train.adapt import UnlabelledNumbers
    from inkshift.models.train.teaching import adapt_to

    with making(to, work_of(to)):
        reader = _reader(base, template)
        found = teach.unlabelled(reader, pages, second_reader)
        note(f"{len(found.numbers):,} numbers on the pages")
        given = UnlabelledNumbers([n.views for n in found.numbers], [n.form for n in found.numbers], found.second)
        assert reader.number_model is not None
        done = adapt_to(reader.number_model, given, to, rounds=rounds, report=_round_line)
        note(done.note)
        out.print(f"mean agreement: {done.agreement[0]:.4f} before, {done.agreement[1]:.4f} after", highlight=False)
        _old_task(done.composed)
        if check_pages and labels:
            for name, folder in (("before", base), ("after", str(done.model.folder))):
                right, n = teach.score(_reader(folder, template), check_pages, labels)
                out.print(
                    f"labelled pages, {name}: {right:,} of {n:,} numbers right ({right / n:.1%})", highlight=False
                )
        note(f"wrote {to}")


def _teach(
    base: str, pages: list[Path], labels: str | None, template: Path | None, to: Path, work: Path, epochs: int | None
) -> None:
    from inkshift.datasets.labels import read_labels
    from inkshift.forms.crops import teach
    from inkshift.models.train.finetune import FineTuneSettings, Numbers
    from inkshift.models.train.teaching import teach as fine_tune

    if not pages or not labels:
        raise SettingError("--from: needs --pages, the pages or pictures, and --labels, what is written on them")
    reader = _reader(base, template)
    found = teach.labelled(reader, pages, read_labels(labels))
    for reason, count in found.left_out.items():
        note(f"left out, {reason}: {count:,}")
    note(f"{len(found.numbers):,} labelled numbers")
    seen = [(view, label, n.form) for n, label in zip(found.numbers, found.labels, strict=True) for view in n.views[:2]]
    numbers = Numbers(*(list(part) for part in zip(*seen, strict=True)))
    assert reader.number_model is not None
    settings = FineTuneSettings(epochs=epochs) if epochs else FineTuneSettings()
    done = fine_tune(
        reader.number_model,
        numbers,
        to,
        shown=len(found.numbers[0].views[:2]),
        settings=settings,
        checkpoint=work / "own.pt",
        report=lambda e: note(
            f"epoch {e.epoch}: loss {e.loss:.3f}, held out {e.held_out_loss:.3f}, {e.held_out:.1%} right"
        ),
    )
    note(done.note)
    out.print(
        f"own numbers: {done.learned:,} learned from, {done.held_out:,} of {done.forms:,} forms held out: "
        f"{done.own[0]:.1%} right before, {done.own[1]:.1%} after"
    )
    _old_task(done.composed)
    note(f"wrote {to}; read with  inkshift read ... --model {to}")


def _old_task(right: tuple[float, float]) -> None:
    out.print(f"composed numbers, the old task: {right[0]:.1%} before, {right[1]:.1%} after")


def _epoch_line(name: str, epochs: int, epoch: int, loss: float) -> None:
    note(f"{name}: epoch {epoch + 1} of {epochs}, loss {loss:.4f}")


def _check() -> None:
    if lacks("torch", "onnx", "onnxscript"):
        raise MissingExtraError("study", "training a model")


def _reader(model: str, template: Path | None) -> Reader:
    from inkshift.forms.reader import Reader

    return Reader(template or "", read_as=None if template else "number", model=model, crops=True)


def _round_line(found: Round) -> None:
    kept = "" if found.kept else "; not kept"
    note(
        f"round {found.round}: mean agreement {found.agreement:.4f}, {found.labels:,} sure readings, "
        f"{found.source:.1%} of composed numbers right{kept}"
    )


@model_app.command("import")
def import_(
    file: Annotated[
        str, typer.Argument(help="An .onnx, .keras or .h5 file, or timm:NAME with --weights.", show_default=False)
    ],
    to: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The package to write.", show_default=False)],
    classes: Annotated[str, typer.Option(help="Names of its outputs, in order: 0-9, or 0-9,junk.", show_default=False)],
    reframing: Annotated[
        str, typer.Option(help="How a picture is made to look like what it learned from.", show_default=False)
    ],
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Licence of its weights.", show_default=False)],
    scale: Annotated[
        str,
        typer.Option(
            metavar="LOW..HIGH|MEAN,STD",
            help="What the gray levels 0 and 255 become (0..1, -1..1, 0..255), or the mean and standard deviation "
            "by which levels in 0..1 are standardised (three of each for three channels).",
        ),
    ] = "0..1",
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Safetensors file, for timm:NAME.")] = None,
    test: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Labelled pictures to score it on: class folders, or a CSV (file, label)."),
    ] = None,
    name: Annotated[str, typer.Option(help="What it is called.", show_default="the folder's name")] = "",
    summary: Annotated[str, typer.Option(metavar="TEXT", help="What it is, for its card.")] = "",
    as_json: Json = False,
) -> None:
    """Bring in a classifier of single characters that others trained: ONNX, Keras or timm.

    The layout of its input, whether it takes more than one picture at a time, and whether it answers with
    probabilities or logits is found out; a trial run checks that it takes the pictures that the reframing
    gives and answers with one number for each class. Then `inkshift read --model FOLDER` reads with it.

    Example: inkshift model import m.onnx --out m --classes 0-9 --reframing "gray|light_ink|resize(28)" --licence MIT
    """
    from inkshift.models.imported import import_model

    with making(to, work_of(to)):
        manifest = import_model(
            file,
            to,
            classes=classes,
            reframing=reframing,
            licence=licence,
            scale=scale,
            weights=weights,
            name=name,
            summary=summary,
            test=test,
        ).manifest
    if as_json:
        typer.echo(manifest.model_dump_json(indent=2))
    else:
        facts = {"parameters": manifest.parameters, "classes": len(manifest.classes)} | manifest.training
        for key, value in {**facts, **manifest.scores}.items():
            out.print(f"{key:24} {_shown(value)}", markup=False, highlight=False)
    note(f"wrote {to}" + ("" if test else "; not tested: give --test"))


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
