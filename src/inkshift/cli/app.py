"""The application that the command modules register on, and how errors reach the user."""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from inkshift.errors import InkshiftError, SettingError
from inkshift.files import cannot_write


class Commands(TyperGroup):
    """The commands; what is wrong with an option is said without pydantic's words, by which typer checks it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as e:
            e.message = e.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    name="inkshift",
    cls=Commands,
    help="Read hand-written numbers off forms with reused models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain: markup would take `inkshift[study]` for a style
    # Wide enough for the examples, which are to be copied.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)

COMMAND_MODULES = (
    "read",
    "evaluate",
    "calibrate",
    "shift",
    "verify",
    "template",
    "model",
    "data",
    "study",
    "review",
    "doctor",
)

# A file and its line, `r.csv:100:`, are no name of a picture.
out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False)
_log = logging.getLogger("inkshift.cli")
_log.addHandler(logging.NullHandler())
_log.propagate = False


@dataclass
class Talk:
    """How much the commands say on standard error: errors always, notes unless quiet, each form where verbose."""

    quiet: bool = False
    verbose: bool = False


talk = Talk()


def tell(line: str, style: str = "") -> None:
    """A line on standard error, and in the log where there is one. style: of rich; red lines are errors."""
    _log.log(logging.ERROR if style == "red" else logging.INFO, line)
    if style == "red" or not talk.quiet:
        err.print(line, style=style, markup=False, highlight=False)


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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on standard error but errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more: each form as it is read.")] = False,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Add what is said to this file, with the time.", show_default=False),
    ] = None,
) -> None:
    """Read hand-written numbers off forms with reused models.

    Options of all commands stand before the command: inkshift --quiet --log night.log read ...
    """
    talk.quiet, talk.verbose = quiet, verbose
    for handler in _log.handlers[1:]:
        _log.removeHandler(handler)
        handler.close()
    if log:
        try:
            handler = logging.FileHandler(log, encoding="utf-8", errors="backslashreplace")
        except OSError as e:
            raise cannot_write(log, e, "choose another place for the log") from None
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)


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
        with _whole_output():
            whole_app()(arguments, prog_name="inkshift")
    except SettingError as e:
        _fail(e, 2)
    except InkshiftError as e:
        _fail(e, 1)
    except OSError as e:
        if e.errno != errno.ENAMETOOLONG or not isinstance(e.filename, str | os.PathLike):
            raise
        whole = os.fsencode(e.filename)
        part = max(whole.split(b"/"), key=len)
        found = f"a name of {len(part)} in a path of {len(whole)}"
        wanted = "expected a name of 255 bytes and a path of 4,096 at most"
        _fail(SettingError(f"{os.fsdecode(part[:40])}...: {wanted}, found {found}; shorten it"), 2)
    sys.exit(0)


@contextmanager
def _whole_output() -> Iterator[None]:
    """Raises SettingError where standard output does not take what was printed, as on a full disk.

    A program that reads no further, such as `head`, is no error of ours.
    """
    try:
        yield
    finally:
        try:
            print(end="", flush=True)
        except OSError as e:
            with suppress(OSError), Path(os.devnull).open("w") as nowhere:  # else Python tries again as it ends
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
            if e.errno == errno.EPIPE:
                sys.exit(1)
            raise cannot_write("standard output", e, "free its disk, or send it elsewhere") from None


def _fail(error: InkshiftError, status: int) -> NoReturn:
    tell(f"error: {error}", "red")
    sys.exit(status)
