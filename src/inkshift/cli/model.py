"""`inkshift model`: the models that ship, and how they are made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from inkshift.cli.app import app, out
from inkshift.cli.options import Json
from inkshift.cli.show import table

model_app = typer.Typer(no_args_is_help=True, help="List and show model packages; train those that ship.")
app.add_typer(model_app, name="model")

Name = Annotated[str, typer.Argument(help="A shipped model, or the folder of another.", show_default=False)]


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


def check_out(to: Path) -> None:
    """Raises SettingError where a package cannot go to `--out`, as something else is there."""
    from inkshift.errors import SettingError
    from inkshift.models.package import MANIFEST

    if to.exists() and not (to / MANIFEST).is_file():
        raise SettingError(f"--out {to}: is there already and is no model package; choose another folder")
