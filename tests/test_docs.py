"""The generated pages of docs/ are current, and no command or option is missing from them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import typer

from inkshift.cli.app import whole_app

DOCS = Path(__file__).parents[1] / "docs"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


@pytest.mark.parametrize("name", ["commands.md", "template.schema.json"])
def test_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == generator.pages()[name], "run  make docs"


def test_every_command_and_option_is_explained() -> None:
    sections = (DOCS / "commands.md").read_text(encoding="utf-8").split("\n## ")[1:]
    text = dict(section.split("\n", 1) for section in sections)
    commands = dict(generator.walk("inkshift", typer.main.get_command(whole_app())))
    assert set(text) == set(commands)
    assert "inkshift read" in commands
    for path, command in commands.items():
        assert command.help, path
        for parameter in command.params:
            if parameter.name != "help":
                assert parameter.help, f"{path} {parameter.name}"
                assert parameter.help.replace("|", "\\|") in text[path], f"{path} {parameter.name}"
                if parameter.param_type_name == "option":
                    assert all(f"`{opt}" in text[path] or f", {opt}" in text[path] for opt in parameter.opts)
