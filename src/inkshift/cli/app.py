"""The application that the command modules register on, and how errors reach the user."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from inkshift.errors import InkshiftError, SettingError

app = typer.Typer(
    name="inkshift",
    help="Read hand-written numbers off forms with reused models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMAND_MODULES = (
    "read",
    "evaluate",
    "calibrate",
    "audit",
    "shift",
    "verify",
    "template",
    "model",
    "model_train",
    "model_import",
    "data",
    "dataset",
    "study",
    "advise",
    "review",
    "doctor",
)

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        from inkshift import __version__

        typer.echo(f"inkshift {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Read hand-written numbers off forms with reused models."""


def whole_app() -> typer.Typer:
    """The application with all its commands."""
    for name in COMMAND_MODULES:
        importlib.import_module(f"inkshift.cli.{name}")
    return app


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point. Exit status: 0; 1 something was not read or a check failed; 2 wrong use; 130 stopped."""
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text that the terminal takes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        whole_app()(arguments, prog_name="inkshift")
    except SettingError as e:
        _fail(e, 2)
    except InkshiftError as e:
        _fail(e, 1)
    sys.exit(0)


def _fail(error: InkshiftError, status: int) -> NoReturn:
    err.print(f"error: {error}", style="red", markup=False, highlight=False)
    sys.exit(status)
