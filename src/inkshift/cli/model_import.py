"""`inkshift model import`: a model of another maker as a package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inkshift.cli.app import out
from inkshift.cli.model import check_out, model_app
from inkshift.cli.options import Json
from inkshift.cli.show import note


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

    check_out(to)
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
        for key, value in (facts | manifest.scores).items():
            out.print(f"{key:24} {_shown(value)}", markup=False, highlight=False)
    note(f"wrote {to}" + ("" if test else "; not tested: give --test"))


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
