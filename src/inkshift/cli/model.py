"""`inkshift model`: the models that ship, and how they are made."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkshift.cli.app import app, err, out

if TYPE_CHECKING:
    from inkshift.models.package import Model

model_app = typer.Typer(no_args_is_help=True, help="List and show model packages; train those that ship.")
app.add_typer(model_app, name="model")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Name = Annotated[str, typer.Argument(help="A shipped model, or the folder of another.", show_default=False)]


@model_app.command("list")
def list_models(as_json: Json = False) -> None:
    """The models that ship with inkshift; `inkshift read` takes `digits` if none is named.

    Example: inkshift model list
    """
    from rich import box
    from rich.table import Table

    from inkshift.models.package import load_model, shipped

    models = [load_model(name) for name in shipped()]
    if as_json:
        typer.echo(json.dumps([model.manifest.model_dump() for model in models], indent=2))
        return
    table = Table("name", "parameters", "classes", "what", box=box.SIMPLE, pad_edge=False)
    for model in models:
        m = model.manifest
        table.add_row(m.name, f"{m.parameters:,}", str(len(m.classes)), m.summary)
    out.print(table, soft_wrap=False)


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


@model_app.command()
def train(
    recipe: Annotated[Literal["mnist-as-published", "digits"], typer.Argument(help="Which model.", show_default=False)],
    to: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The package to write.", show_default=False)],
    work: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where checkpoints are kept.", show_default="OUT.work beside it"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the pictures.", show_default="the recipe's own")
    ] = None,
) -> None:
    """Train a shipped model anew, by its recipe, from the data sets that `inkshift data list` shows.

    A training that was stopped goes on from its last finished epoch when the same command is run again.

    Example: inkshift model train digits --out models/digits
    """
    from inkshift.errors import MissingExtraError, SettingError
    from inkshift.models.package import MANIFEST

    if any(importlib.util.find_spec(name) is None for name in ("torch", "onnx", "onnxscript")):
        raise MissingExtraError("study", "training a model")
    if to.exists() and not (to / MANIFEST).is_file():
        raise SettingError(f"--out {to}: is there already and is no model package; choose another folder")
    from inkshift.models import recipes

    make: Callable[..., Model] = recipes.mnist_as_published if recipe == "mnist-as-published" else recipes.digits
    checkpoints = work or to.with_name(f"{to.name}.work")
    make(to, checkpoints, report=_epoch_line, **({"epochs": epochs} if epochs else {}))
    err.print(f"wrote {to}; checkpoints are in {checkpoints}", markup=False, highlight=False)


def _epoch_line(name: str, epoch: int, epochs: int, loss: float) -> None:
    err.print(f"{name}: epoch {epoch + 1} of {epochs}, loss {loss:.4f}", markup=False)
