"""The application that the command modules register on, and how errors reach the user."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

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

COMMAND_MODULES = ("read", "evaluate", "template", "model", "data", "dataset", "doctor")

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def main() -> NoReturn:
    """Entry point. Exit status: 0; 1 something was not read or a check failed; 2 wrong use."""
    for name in COMMAND_MODULES:
        importlib.import_module(f"inkshift.cli.{name}")
    try:
        app()
    except SettingError as e:
        err.print(f"error: {e}", style="red", markup=False, highlight=False)
        sys.exit(2)
    except InkshiftError as e:
        err.print(f"error: {e}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("stopped; run the same command again to go on where it was")
        sys.exit(130)
    sys.exit(0)
