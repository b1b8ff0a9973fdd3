"""What the README shows works: its commands, its Python, and the links of all pages."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from inkshift import Reader
from inkshift.cli.app import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of a page that is to be run."""
    return re.findall(r"^```(sh|python)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the bundled example, as one has it after cloning; review answers nobody."""
    shutil.copytree(ROOT / "examples" / "telegram", tmp_path / "examples" / "telegram")
    (tmp_path / "docs" / "images").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "images" / "score-sheet.jpg", tmp_path / "docs" / "images")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    return tmp_path


TUTORIALS = [
    pytest.param(page, marks=pytest.mark.slow if page.stem == "research" else ())
    for page in (ROOT / "docs/tutorials").glob("*.md")
]


@pytest.mark.parametrize("page", [ROOT / "README.md", *TUTORIALS], ids=lambda page: page.stem)
def test_blocks_run_and_write_what_they_name(page: Path, clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert blocks(page)
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page.name, "exec"), {})
            continue
        for command in text.splitlines():
            words = [name for word in shlex.split(command) for name in expanded(clone, word)]
            assert words[0] == "inkshift", command
            with pytest.raises(SystemExit) as end:
                main(words[1:])
            assert not end.value.code, command + capsys.readouterr().err
            for option, value in itertools.pairwise(words):
                if option in ("--out", "--report"):
                    assert (clone / value).exists(), command
    if page.stem == "README":
        assert "T-0001" in capsys.readouterr().out


def expanded(folder: Path, word: str) -> list[str]:
    """A word of a command as a shell in `folder` expands it."""
    return [str(path.relative_to(folder)) for path in sorted(folder.glob(word))] if "*" in word else [word]


def test_what_the_tutorials_say_of_their_forms_is_so(clone: Path) -> None:
    """The sum mends the reading that the election's picture shows; the archive's sheet has the cells that it names."""
    template = json.loads(Path("examples/telegram/template.json").read_text())
    for rules, value in ((template["rules"], "114"), ([], "119")):
        Path("examples/telegram/t.json").write_text(json.dumps(template | {"rules": rules}))
        (form,) = Reader("examples/telegram/t.json").read("examples/telegram/scan-2.jpg")
        assert form["p08"].value == value
    (sheet,) = Reader(read_as="table").read("docs/images/score-sheet.jpg")
    assert sheet["r03c2"].value == "1450" and {cell.state for cell in sheet} == {"written", "crossed-out", "blank"}
    assert "r01c1" not in sheet


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


def test_figures_of_the_readme_are_those_of_the_results_pages() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text[text.index("<!-- results:start -->") : text.index("<!-- results:end -->")]
    printed = (ROOT / "docs/results/reading.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*", shown, re.MULTILINE)
    assert len(rows) > 10 and all(row in printed for row in rows), "run make readme"
    results = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/results").rglob("*.md"))
    known = set(re.findall(r"\d+\.\d+", results))
    prose = re.sub(r"```.*?```", "", text.replace(shown, ""), flags=re.DOTALL)
    claimed = re.findall(r"(\d+\.\d+) ?%", prose)
    assert set(claimed) <= known, f"no results page has {sorted(set(claimed) - known)}"
