"""What the README shows works: its commands, its Python, and the links of all pages."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
from pathlib import Path

import pytest

from inkshift.cli.app import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the bundled example, as one has it after cloning."""
    shutil.copytree(ROOT / "examples" / "telegram", tmp_path / "examples" / "telegram")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_run_and_write_what_they_name(clone: Path) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("inkshift ")]
    assert commands
    for command in commands:
        words = [name for word in shlex.split(command) for name in expanded(clone, word)]
        with pytest.raises(SystemExit) as end:
            main(words[1:])
        assert not end.value.code, command
        for option, value in itertools.pairwise(words):
            if option in ("--out", "--report"):
                assert (clone / value).is_file(), command


def expanded(folder: Path, word: str) -> list[str]:
    """A word of a command as a shell in `folder` expands it."""
    return [str(path.relative_to(folder)) for path in sorted(folder.glob(word))] if "*" in word else [word]


def test_first_lines_of_python_run(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert "T-0001" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
