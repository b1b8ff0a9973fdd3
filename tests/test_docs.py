"""The generated pages of docs/ are current, and no command or option is missing from them."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
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


ROOT = DOCS.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_files_that_contributing_names_are_there() -> None:
    named = set(re.findall(r"`((?:src|tests|docs)/[\w./-]+)`", CONTRIBUTING))
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).exists()]


def test_targets_that_contributing_names_are_those_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", CONTRIBUTING)) == targets - {"help"}


def test_layers_that_the_pages_name_are_those_that_are_held() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = " -> ".join(contracts[0]["layers"]).replace("inkshift.", "")
    assert f"`{layers}`" in CONTRIBUTING
    assert f"    {layers}\n" in (DOCS / "architecture.md").read_text(encoding="utf-8")


def test_the_pages_install_extras_as_a_clone_does() -> None:
    """An index has no `inkshift` yet; troubleshooting explains the hint, and models names extras."""
    for page in {ROOT / "README.md", *DOCS.glob("*.md")} - {DOCS / "troubleshooting.md"}:
        assert "install 'inkshift[" not in page.read_text(encoding="utf-8"), page


def test_what_the_architecture_names_is_in_the_code() -> None:
    """Modules, and what they define, on the page on how it is built."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    modules: dict[str, set[str]] = {}
    for path in (ROOT / "src" / "inkshift").rglob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        defined = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        modules.setdefault(path.stem, set()).update(defined)
    named = set(re.findall(r"\b([a-z][a-z_]*)\.([A-Za-z][a-z_]*)\b", text)) - {("study", "toml")}
    named = {(module, name) for module, name in named if name not in ("md", "py", "json")}
    assert len(named) > 25
    assert not {f"{module}.{name}" for module, name in named if name not in modules.get(module, ())}


def test_every_room_says_what_it_is() -> None:
    """The docstring of each sub-package is its map."""
    rooms = [
        path for path in (ROOT / "src" / "inkshift").rglob("__init__.py") if len(list(path.parent.glob("*.py"))) > 1
    ]
    assert len(rooms) > 15
    for path in rooms:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_no_name_of_a_class_stands_for_two_things() -> None:
    where: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "src").rglob("*.py")):
        for name in re.findall(r"(?m)^ *class (\w+)[(:]", path.read_text(encoding="utf-8")):
            where[name].append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in where.items() if len(places) > 1} == {}


@pytest.mark.slow
def test_no_link_of_the_site_leads_nowhere(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-c",
        "docs/site",
        ".",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Reader" in (tmp_path / "site/docs/site/api.html").read_text()
