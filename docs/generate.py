"""Write the reference pages that follow from the program: `make docs`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from inkshift.cli.app import whole_app
from inkshift.forms.design.starter import schema_json

HEAD = """# Commands

Written by `make docs` from the program itself; do not edit. `inkshift COMMAND --help` says the same.

Exit status: 0; 1 something was not read or a check failed; 2 wrong use; 130 stopped.
"""


def pages() -> dict[str, str]:
    """The text of each generated page, by its name in this folder."""
    return {"commands.md": commands_page(), "template.schema.json": schema_json()}


def commands_page() -> str:
    """All commands with their arguments and options, in Markdown."""
    parts = [HEAD]
    for path, command in walk("inkshift", typer.main.get_command(whole_app())):
        usage = " ".join([path, *(_shown(p) for p in command.params if _is_argument(p))])
        tail = " COMMAND" if hasattr(command, "commands") else " [OPTIONS]"
        parts += [f"## {path}\n", f"    {usage}{tail}\n", _prose(command.help or "")]
        rows = [_row(p) for p in command.params if p.name != "help"]
        if rows:
            parts += ["| | | default |\n|---|---|---|\n" + "\n".join(rows) + "\n"]
    return "\n".join(parts)


def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command and all those below it, each with the words that call it."""
    yield path, command
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from walk(f"{path} {name}", child)


def _is_argument(parameter: Any) -> bool:
    return str(parameter.param_type_name) == "argument"


def _shown(parameter: Any) -> str:
    """An argument as it stands in a usage line, an option as it is typed."""
    if _is_argument(parameter):
        name = parameter.metavar or parameter.name.upper()
        return f"{name}..." if parameter.nargs == -1 and not name.endswith("...") else str(name)
    return ", ".join(parameter.opts)


def _row(parameter: Any) -> str:
    text = (parameter.help or "") + (f" One of {', '.join(_choices(parameter))}." if _choices(parameter) else "")
    cells = (f"`{_shown(parameter)}`", text, _default(parameter))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(parameter: Any) -> str:
    if parameter.required and not _is_argument(parameter):
        return "required"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value = parameter.default
    return "" if value in (None, "", False) or callable(value) or not parameter.show_default else str(value)


def _choices(parameter: Any) -> list[str]:
    """The values of a parameter whose type is a Literal, if need be under None."""
    kind = parameter.type_descriptor.annotation
    kinds = [kind, *get_args(kind)]
    return [str(value) for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]


def _prose(text: str) -> str:
    """A docstring as Markdown: the lines of its examples become code."""
    lines = []
    for line in inspect.cleandoc(text).splitlines():
        line = line.strip()
        if line.startswith("Example: "):
            lines += ["Example:", "", f"    {line.removeprefix('Example: ')}"]
        else:
            lines.append(f"    {line}" if line.startswith("inkshift ") else line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name, text in pages().items():
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")
