"""The commands and the Python of every page of docs/ are those of the program: each is parsed, and run where it can be.

The tutorials and the README are run by `test_readme`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from PIL import Image

from inkshift.cli.app import main, whole_app
from inkshift.models.package import load_model
from test_docs import generator
from test_readme import ROOT, blocks, expanded

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in ("commands", "run-a-study")]
# What is not run here, by words of the command: it needs what no test has, or hours.
NOT_RUN = {
    "a store, a database or other machines": ("s3://", "postgresql://", "--engine ray", "part-07"),
    "a network": ("data fetch", "data pack", "Downloads"),
    "hours, or a graphics card": (
        "model train",
        "model adapt",
        "dataset compose",
        "study run",
        "advise",
        "study report",
    ),
    "a model that somebody else made": ("model import", "models/mnist"),
    "somebody who uses it": ("inkshift review", "backup", "restore"),
    "people who settled some forms": ("--policy", "exclude.csv"),
    "a template without a picture": ("template reference",),
}


def commands(page: Path) -> list[str]:
    """The commands of a page's blocks, each on one line."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.splitlines()]
    lines += re.findall(r"^    (inkshift (?!read … ).*)$", plain, re.MULTILINE)
    return [line.split(" > ")[0] for line in lines if line.startswith("inkshift ")]


COMMANDS = dict(generator.walk("inkshift", typer.main.get_command(whole_app())))


def understood(words: list[str]) -> None:
    """Take a command in as the program does; an error where it knows no such option, or needs other words."""
    most = next(n for n in (3, 2, 1) if " ".join(words[:n]) in COMMANDS)
    command = COMMANDS[" ".join(words[:most])]
    given, left, _ = command.make_parser(command.context_class(command)).parse_args(words[most:])
    assert not left, f"too many words: {left}"
    for parameter in command.params:
        assert not parameter.required or given.get(parameter.name), f"lacks {parameter.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_is_one_of_the_program(page: Path) -> None:
    for line in commands(page):
        if "[OPTIONS]" not in line and "COMMAND" not in line:
            understood(shlex.split(line.replace(" ...", ""), comments=True))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, telegram: Path) -> Path:
    """A folder with what the pages take for granted: scans, their template and labels, models."""
    for name in ("scans", "amounts", "digits", "models"):
        (tmp_path / name).mkdir()
    for name in ("template.json", "blank.png", "labels.csv"):
        shutil.copy(telegram / name, tmp_path)
    (tmp_path / "review-files/templates/1").mkdir(parents=True)
    for name in ("telegram.json", "form.json", "review-files/templates/1/template.json"):
        shutil.copy(telegram / "template.json", tmp_path / name)
    shutil.copy(telegram / "blank.png", tmp_path / "review-files/templates/1")
    (tmp_path / "list.txt").write_text("scans/scan-1.jpg\n")
    for folder, text in (("amounts", "4072"), ("digits", "7")):
        picture = np.full((60, 30 + 26 * len(text)), 240, np.uint8)
        cv2.putText(picture, text, (14, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (40,), 3, cv2.LINE_AA)
        Image.fromarray(picture).save(tmp_path / folder / "a.png")
    for n in (1, 2, 3):
        shutil.copy(telegram / f"scan-{n}.jpg", tmp_path / "scans")
    shutil.copy(telegram / "scan-4.jpg", tmp_path / "scan.jpg")
    shutil.copy(ROOT / "docs/images/score-sheet.jpg", tmp_path / "ledger.jpg")
    shutil.copytree(telegram, tmp_path / "examples/telegram")
    shutil.copytree(load_model("digits").folder, tmp_path / "models/digits")
    for name in ("review-files/models/1", "models/mine"):
        shutil.copytree(load_model("numbers").folder, tmp_path / name)
    with closing(sqlite3.connect(tmp_path / "votes.db")) as votes, votes:
        votes.execute("create table votes (form, field, value)")
        rows = [line.split(",")[:3] for line in (telegram / "labels.csv").read_text().splitlines()[1:]]
        votes.executemany("insert into votes values (?, ?, ?)", rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [name for word in shlex.split(line, comments=True) for name in expanded(desk, word)]
    with pytest.raises(SystemExit) as end:
        main(words[1:])
    assert not end.value.code, line + capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_commands_run_as_written(page: Path, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in commands(page):
        if any(part in line for parts in NOT_RUN.values() for part in parts):
            continue
        if "template new" in line:  # it writes over nothing
            for name in ("form.json", "form-reference.png"):
                (desk / name).unlink(missing_ok=True)
        if line.startswith("inkshift evaluate readings.csv") and not (desk / "readings.csv").exists():
            run("inkshift read scans/ --template telegram.json --out readings.csv", desk, capsys)
        run(line, desk, capsys)


@pytest.mark.parametrize("page", ["rules", "will-it-hold"])
def test_python_runs_as_written(page: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [text for language, text in blocks(ROOT / f"docs/{page}.md") if language == "python"]
    assert found
    for text in found:
        exec(compile(text, page, "exec"), {})


SMALL = """
name = "my-ledgers"
replicates = 2
[protocol]
backbone = "mnist-convnet"
reframing = "gray|light_ink|trim|square|margin(0.2)|resize(28)"
epochs = 2
source_epochs = 1
[[set]]
name = "drawn"
source = { data = "drawn", labels = "digits", test_share = 0.25 }
target = { data = "own", labels = "digits", test_share = 0.25 }
same_domain = false
"""


@pytest.mark.slow
def test_the_page_on_studies_runs_as_written(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its blocks in their order, with a study of seconds under the name of the one of days."""
    pytest.importorskip("torch")
    page = ROOT / "docs/run-a-study.md"
    for line in page.read_text(encoding="utf-8").split("```toml\n")[1:]:
        assert tomllib.loads(line.split("```")[0])["name"]
    (desk / "studies").mkdir()
    (desk / "studies/kooverjee-2020-small.toml").write_text(SMALL)
    (desk / "telegram.json").rename(desk / "my-form.json")
    for seed, name in enumerate(("drawn/train", "own/train", "labelled")):
        draw_digits(desk / name, np.random.default_rng(seed))
    rows = [f"{path.relative_to(desk / 'labelled')},{path.parent.name}" for path in (desk / "labelled").glob("*/*.png")]
    numbers = [f"numbers/{k}.png,{10 + k},form {k // 4}" for k in range(40)]
    (desk / "amounts/numbers.csv").write_text("\n".join(["file,value,form", *numbers]))
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page.name, "exec"), {})
            continue
        for line in text.splitlines():
            if "labels.csv" in line:
                (desk / "labelled/labels.csv").write_text("\n".join(["file,label", *rows]))
            key = next((desk / "runs/my-ledgers/runs").glob("*/package"), None)
            run(line.replace("KEY", key.parent.name if key else "KEY"), desk, capsys)
    assert (desk / "report.html").is_file()


def draw_digits(folder: Path, rng: np.random.Generator) -> None:
    """A folder for each digit, with 12 pictures of it."""
    for digit in "0123456789":
        (folder / digit).mkdir(parents=True)
        for k in range(12):
            picture = np.full((48, 40), 240, np.uint8)
            x, y = (int(v) for v in rng.integers(-4, 5, 2))
            cv2.putText(picture, digit, (9 + x, 36 + y), k % 4, 1.1, (40,), 2, cv2.LINE_AA)
            Image.fromarray(picture).save(folder / digit / f"{k}.png")
