"""The command line on the bundled telegrams: what it writes, how it fails, and that a stop costs nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import Run
from inkshift.forms.template import load_template
from inkshift.models import package
from test_propose import invoice

TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
TEMPLATE = TELEGRAM / "template.json"
SCAN = TELEGRAM / "scan-1.jpg"
SRC = Path(__file__).parents[1] / "src"

reads = pytest.mark.skipif(not package.shipped(), reason="no model package is in src/inkshift/packages")


def locked_pdf() -> bytes:
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 36]>>",
        b"<</Filter/Standard/V 1/R 2/O<%b>/U<%b>/P -4>>" % (b"ab" * 32, b"cd" * 32),
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, item in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<</Size 5/Root 1 0 R/Encrypt 4 0 R/ID[<00><00>]>>\nstartxref\n%d\n%%%%EOF" % len(body)
    return body + b"xref\n0 5\n0000000000 65535 f \n" + table + trailer


def bomb_png() -> bytes:
    def chunk(data: bytes) -> bytes:
        return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))

    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(header) + chunk(b"IDAT" + zlib.compress(bytes(10_000)))


def other_form() -> bytes:
    """A page of written lines, without corner marks."""
    page = np.full((1754, 1240), 245, np.uint8)
    page[200:1500:40, 150:1000] = 60
    data = io.BytesIO()
    Image.fromarray(page).save(data, "PNG")
    return data.getvalue()


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "corrupt.jpg": (lambda: b"\xff\xd8\xff" + random.Random(0).randbytes(5000), "damaged"),
    "truncated.jpg": (lambda: SCAN.read_bytes()[:60_000], "cut-off"),
    "empty.png": (lambda: b"", "empty file"),
    "bomb.png": (bomb_png, "megapixels"),
    "wrong-type.png": (lambda: b"form,value\nA,1\n", "starts with"),
    "protected.pdf": (locked_pdf, "password"),
    "other-form.png": (other_form, "is it this form"),
}


@reads
class TestRead:
    def test_csv_on_standard_output_and_a_summary_beside_it(self, run: Run) -> None:
        answer = run("read", SCAN, TELEGRAM / "scan-4.jpg", "--template", TEMPLATE)
        assert answer.status == 0
        assert [(row["form"], row["field"]) for row in answer.rows[12:14]] == [
            ("T-0001", "total"),
            ("T-0004", "p01"),
        ]
        assert "read 2 forms, 26 fields" in answer.err
        assert "not read" not in answer.err

    @pytest.mark.parametrize("name", BAD)
    def test_a_bad_file_costs_only_itself(self, run: Run, tmp_path: Path, name: str) -> None:
        make, reason = BAD[name]
        bad, out = tmp_path / name, tmp_path / "readings.csv"
        bad.write_bytes(make())
        answer = run("read", bad, SCAN, "--template", TEMPLATE, "--out", out)
        assert answer.status == 1
        (line,) = (line for line in answer.err.splitlines() if str(bad) in line)
        assert reason in line
        assert "pages not read: 1" in answer.err
        rows = list(csv.DictReader(io.StringIO(out.read_text())))
        assert {row["form"] for row in rows} == {"T-0001"}
        assert len(rows) == 13
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "readings.csv"])

    def test_a_tampered_model_is_not_used(self, run: Run, tmp_path: Path) -> None:
        model = shutil.copytree(next(iter(package.shipped().values())), tmp_path / "model")
        graph = model / package.GRAPH
        graph.write_bytes(graph.read_bytes()[:-1] + b"!")
        out = tmp_path / "readings.csv"
        answer = run("read", SCAN, "--template", TEMPLATE, "--model", model, "--out", out)
        assert answer.status == 1
        assert f"{graph}: changed since it was packed" in answer.err
        assert not out.exists()

    def test_pictures_of_one_number(self, run: Run, tmp_path: Path) -> None:
        page = Image.open(SCAN).convert("L")
        page.crop((1000, 420, 1160, 500)).save(tmp_path / "a.png")
        answer = run("read", tmp_path, "--as", "number", "--method", "as-published")
        assert answer.status == 0
        assert [(row["form"], row["field"]) for row in answer.rows] == [("a", "number")]

    def test_crops_in_spreadsheet_and_report(self, run: Run, tmp_path: Path) -> None:
        from openpyxl import load_workbook

        out, report = tmp_path / "readings.xlsx", tmp_path / "readings.html"
        answer = run("read", SCAN, "--template", TEMPLATE, "--out", out, "--report", report)
        assert answer.status == 0
        assert load_workbook(out).active.max_row == 14
        assert report.read_text(encoding="utf-8").count("data:image/png") == 13
        assert not list(tmp_path.glob(".*"))

    def test_missing_unknown_and_duplicate_forms(self, run: Run, tmp_path: Path) -> None:
        expected = tmp_path / "expected.csv"
        expected.write_text("form\nT-0001\nT-0009\nT-0009\n")
        again = shutil.copy(SCAN, tmp_path / "again.jpg")
        answer = run("read", SCAN, again, TELEGRAM / "scan-2.jpg", "--template", TEMPLATE, "--expected", expected)
        assert answer.status == 0
        assert "forms found more than once: 1\n  T-0001\n" in answer.err
        assert "forms missing: 1\n  T-0009\n" in answer.err
        assert "forms not expected: 1\n  T-0002\n" in answer.err

    def test_blank_backs_and_other_files_are_told_and_cost_nothing(self, run: Run, tmp_path: Path) -> None:
        front = Image.open(SCAN).convert("RGB")
        back = Image.new("RGB", front.size, (236, 233, 228))
        front.save(tmp_path / "duplex.pdf", save_all=True, append_images=[back, front, back], resolution=150)
        (tmp_path / "notes.txt").write_text("ask Maria")
        answer = run("read", tmp_path, "--template", TEMPLATE)
        assert answer.status == 0
        assert "read 2 forms, 26 fields" in answer.err and "blank pages: 2" in answer.err
        assert f"1 file was not read, as it is no page: {tmp_path / 'notes.txt'}" in answer.err.replace("\n", "")

    def test_expected_forms_need_their_column(self, run: Run, tmp_path: Path) -> None:
        expected = tmp_path / "expected.csv"
        expected.write_text("name\nT-0001\n")
        answer = run("read", SCAN, "--template", TEMPLATE, "--expected", expected)
        assert answer.status == 1
        assert f"{expected}:1: no column form, found name" in answer.err


class TestWrongUse:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ([], "give a template"),
            (["--template", TEMPLATE, "--as", "digit"], "one of the two"),
            (["--as", "letter"], "Invalid value for '--as': 'letter' is not one of"),
            (["--as", "digit", "--format", "xlsx"], "give a file with --out"),
            (["--as", "digit", "--out", "readings.ods"], "readings.ods"),
            (["--as", "digit", "--out", "nowhere/readings.csv"], "no folder to put it in"),
            (["--as", "digit", "--report", "/"], "found a folder"),
            (["--as", "digit", "--workers", "0"], "workers"),
            (["--as", "number", "--digits", "ten"], "expected the most, such as 10"),
            (["--as", "number", "--digits", "4-21"], "from 1 to 20"),
            (["--template", TEMPLATE, "--digits", "10"], "without a template"),
        ],
    )
    def test_status_2_and_what_to_mend(self, run: Run, options: list[str], words: str) -> None:
        answer = run("read", SCAN, *options)
        assert answer.status == 2
        assert words in answer.err
        assert answer.out == ""

    def test_nothing_is_written_in_the_place_of_a_page(self, run: Run, tmp_path: Path) -> None:
        page, other = tmp_path / "page", tmp_path / "readings.csv"
        shutil.copy(SCAN, page)
        other.symlink_to(page)
        answer = run("read", page, "--template", TEMPLATE, "--out", other)
        assert answer.status == 2 and "expected a file of its own to write to, found an input" in answer.err
        assert page.read_bytes() == SCAN.read_bytes()

    @reads
    def test_a_path_that_is_not_there(self, run: Run) -> None:
        answer = run("read", "no-such-scan.jpg", "--template", TEMPLATE)
        assert answer.status == 1
        assert "no-such-scan.jpg" in answer.err


# Enough that a stop after the first few is certain to come before the last.
PAGES = 24


@reads
def test_a_reading_that_was_stopped_goes_on(run: Run, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    for i in range(PAGES):
        Image.open(TELEGRAM / f"scan-{i % 6 + 1}.jpg").resize((620, 877)).save(pages / f"{i}.jpg")
    out, journal = tmp_path / "readings.csv", tmp_path / ".readings.csv.journal"
    command = ["read", str(pages), "--template", str(TEMPLATE), "--workers", "2"]
    unbroken = run(*command)
    assert (unbroken.status, len(unbroken.rows)) == (0, PAGES * 13)
    out.write_text("older readings")

    stopped = stop([*command, "--out", str(out)], journal, 2, signal.SIGINT)
    assert stopped[0] == 130
    assert stopped[1].splitlines()[-1] == "stopped; run the same command again to go on"
    done = finished(journal)
    assert 2 <= len(done) < PAGES
    assert stop([*command, "--out", str(out)], journal, len(done) + 2, signal.SIGKILL)[0] == -signal.SIGKILL
    assert out.read_text() == "older readings"
    done = finished(journal)
    assert 4 <= len(done) < PAGES

    for source in done:
        spoil(source)  # read a second time, they would be bad files
    answer = run(*command, "--out", out)
    assert (answer.status, answer.out) == (0, "")
    assert out.read_text() == unbroken.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages", "readings.csv"]


def stop(arguments: list[str], journal: Path, after: int, how: signal.Signals) -> tuple[int, str]:
    """Run inkshift, stop it when its journal holds `after` pages; its exit status and standard error."""
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    command = [sys.executable, "-m", "inkshift", *arguments]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        assert process.stderr is not None
        while process.poll() is None and len(finished(journal)) < after:
            time.sleep(0.005)
        process.send_signal(how)
        return process.wait(), process.stderr.read()


def heed() -> None:
    """Heed an interrupt even where the tests themselves run in the background, with interrupts ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finished(journal: Path) -> list[Path]:
    """The files whose pages are in a journal."""
    lines = journal.read_bytes().splitlines(keepends=True)[1:] if journal.exists() else []
    return [Path(json.loads(line)["key"].split("#")[0]) for line in lines if line.endswith(b"\n")]


def spoil(path: Path) -> None:
    """Zeros in place of a picture's second half, while size and date stay."""
    stat, data = path.stat(), path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


class TestTemplate:
    def test_check_names_every_problem_with_its_line(self, run: Run, tmp_path: Path) -> None:
        text = TEMPLATE.read_text().replace('"max"', '"maxx"', 1).replace("[1240,", '["a",', 1)
        bad = tmp_path / "bad.json"
        bad.write_text(text)
        answer = run("template", "check", bad, TEMPLATE)
        assert answer.status == 1
        lines = answer.out.splitlines()
        wrong = [i for i, line in enumerate(text.splitlines(), 1) if '"a"' in line or "maxx" in line]
        assert [line.split(":")[:2] for line in lines[:2]] == [[str(bad), str(i)] for i in wrong]
        assert "did you mean 'max'" in lines[1]
        assert lines[-1] == f"{TEMPLATE}: fine; pages: 1, fields: 13, rules: 1"

    def test_schema_is_json(self, run: Run) -> None:
        assert json.loads(run("template", "schema").out)["title"] == "Template"

    def test_new_finds_the_corner_marks_and_overwrites_nothing(self, run: Run, tmp_path: Path) -> None:
        out = tmp_path / "form.json"
        answer = run("template", "new", TELEGRAM / "blank.png", "--out", out)
        assert answer.status == 0 and "what each key means: docs/make-a-template.md" in answer.err
        made = json.loads(out.read_text())["pages"][0]
        assert made["size"] == [1240, 1754]
        for found, true in zip(made["marks"], json.loads(TEMPLATE.read_text())["pages"][0]["marks"], strict=True):
            assert found == pytest.approx(true, abs=1.5)
        assert run("template", "check", out).status == 0
        plain = load_template(out)
        assert any("digits [fewest, most]" in line for line in plain.notes), "what each key is stands in the file"
        assert "notes" not in plain.model_dump(), "but is no part of the template"
        before = out.read_bytes()
        answer = run("template", "new", SCAN, "--out", out)
        assert (answer.status, out.read_bytes()) == (2, before)
        assert "not overwritten" in answer.err

    def test_new_takes_lines_where_there_are_no_marks(self, run: Run, tmp_path: Path) -> None:
        page = np.full((1200, 900), 240, np.uint8)
        page[100:1101:200, 100:801] = 30
        page[100:1101, 100:801:100] = 30
        Image.fromarray(page).save(tmp_path / "grid.png")
        out = tmp_path / "grid.json"
        assert run("template", "new", tmp_path / "grid.png", "--out", out).status == 0
        lines = json.loads(out.read_text())["pages"][0]["lines"]
        assert sorted(y for _, y, _, y2 in lines if y == y2) == pytest.approx([*range(100, 1101, 200)], abs=2)
        assert sorted(x for x, _, x2, _ in lines if x == x2) == pytest.approx([*range(100, 801, 100)], abs=2)

    def test_new_names_wide_boxes_which_may_be_for_words(self, run: Run, tmp_path: Path) -> None:
        Image.fromarray(invoice()[0]).save(tmp_path / "blank.png")
        answer = run("template", "new", tmp_path / "blank.png", "--out", tmp_path / "form.json")
        (line,) = (line for line in answer.err.splitlines() if "words may belong in them" in line)
        assert line.endswith(": f01, f03, f05, f07, f09, f11, f12, f13, f14")

    def test_new_on_an_empty_page_says_what_is_missing(self, run: Run, tmp_path: Path) -> None:
        Image.new("L", (900, 1200), 240).save(tmp_path / "empty.png")
        answer = run("template", "new", tmp_path / "empty.png", "--out", tmp_path / "t.json")
        assert answer.status == 1
        assert f"{tmp_path / 'empty.png'}: nothing printed was found" in answer.err
        assert not (tmp_path / "t.json").exists()

    @reads
    def test_try_draws_the_fields_where_the_numbers_are(self, run: Run, tmp_path: Path) -> None:
        out = tmp_path / "try.png"
        assert run("template", "try", TEMPLATE, TELEGRAM / "scan-4.jpg", "--out", out).status == 0
        picture = np.asarray(Image.open(out)).astype(int)
        assert picture.shape == (1754, 1240, 3)
        for x in (1000, 1150):
            assert (np.ptp(picture[440:490, x], axis=1) > 60).all()  # coloured, on gray paper
        bad = tmp_path / "other.png"
        bad.write_bytes(other_form())
        answer = run("template", "try", TEMPLATE, bad, "--out", tmp_path / "other-try.png")
        assert answer.status == 1
        assert str(bad) in answer.err
        refused = np.asarray(Image.open(tmp_path / "other-try.png")).astype(int)
        assert (np.abs(refused - (220, 0, 0)).sum(-1) == 0).sum() > 500, "the reason and what is missing, in red"

    def test_new_learns_the_print_from_filled_pages_and_names_what_does_not_fit(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "other.png").write_bytes(other_form())
        (tmp_path / "broken.png").write_bytes(SCAN.read_bytes()[:900])
        pages = [TELEGRAM / f"scan-{n}.jpg" for n in (1, 2, 3)]
        answer = run(
            "template", "new", *pages, tmp_path / "other.png", tmp_path / "broken.png", "--out", tmp_path / "t"
        )
        assert answer.status == 1
        assert f"{tmp_path / 'other.png'} page 1: does not show the same form" in answer.err
        assert str(tmp_path / "broken.png") in answer.err
        made = load_template(tmp_path / "t" / "template.json")
        assert len(made.pages[0].marks) == 4 and len(made.fields) == 13
        assert made.pages[0].reference == "template-reference.png"
        assert [field.name for field in made.fields[:2]] == ["f01", "f02"]
        checked = run("template", "check", tmp_path / "t" / "template.json")
        assert (checked.status, checked.err) == (0, "")

    def test_reference_is_added_to_a_template_without(self, run: Run, tmp_path: Path) -> None:
        mine = tmp_path / "form.json"
        mine.write_text(TEMPLATE.read_text().replace('"reference": "blank.png",', ""))
        for said in (run("template", "check", mine), run("read", SCAN, "--template", mine)):
            assert f"inkshift template reference {mine}" in said.err.replace("\n", " ")
        assert "warning" not in run("read", SCAN, "--template", TEMPLATE).err
        assert run("template", "reference", mine, TELEGRAM / "scan-1.jpg").status == 0
        made, before = load_template(mine), load_template(TEMPLATE)
        picture = np.asarray(Image.open(tmp_path / "form-reference.png"))
        assert picture.shape == (1754, 1240) and made.pages[0].reference == "form-reference.png"
        assert (made.fields, made.rules, made.identity) == (before.fields, before.rules, before.identity)
        for x, y, w, h in (field.box for field in made.fields):
            inside = picture[round(y + 0.15 * h) : round(y + 0.85 * h), round(x + 12) : round(x + w - 12)]
            assert inside.min() == 255, "what was written in a field is not kept"
        assert run("template", "reference", mine, SCAN).status == 1
        assert run("template", "check", mine).err == ""


class TestModel:
    @reads
    def test_list_and_show(self, run: Run) -> None:
        names = [model["name"] for model in json.loads(run("model", "list", "--json").out)]
        assert len(names) == len(package.shipped())
        shown = next(iter(package.shipped()))
        assert json.loads(run("model", "show", shown, "--json").out)["digests"]
        assert run("model", "show", shown).out == (package.shipped()[shown] / package.CARD).read_text()

    def test_unknown_models(self, run: Run) -> None:
        answer = run("model", "show", "digit")
        assert answer.status == 1
        assert "no model of this name" in answer.err

    def test_training_without_torch_says_what_to_install(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        answer = run("model", "train", "digits", "--out", tmp_path / "m")
        assert answer.status == 1
        assert "[study]'" in answer.err

    def test_training_replaces_nothing_but_a_package(self, run: Run, tmp_path: Path) -> None:
        pytest.importorskip("torch")
        (tmp_path / "letters.txt").write_text("dear")
        answer = run("model", "train", "digits", "--out", tmp_path)
        assert answer.status == 2
        assert "no model package" in answer.err

    def test_training_reports_each_epoch(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("torch")
        from inkshift.models.train import recipes

        asked = []

        def recipe(folder: Path, work: Path, *, epochs: int, report: recipes.Report) -> None:
            asked.append((folder, work, epochs))
            report("digits", epochs, 0, 0.5)

        monkeypatch.setattr(recipes, "digits", recipe)
        answer = run("model", "train", "digits", "--out", tmp_path / "m", "--epochs", 2)
        assert answer.status == 0
        assert asked == [(tmp_path / "m", tmp_path / "m.work", 2)]
        assert "digits: epoch 1 of 2, loss 0.5000" in answer.err


class TestDoctor:
    @reads
    def test_all_is_well(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path))
        answer = run("doctor")
        assert (answer.status, "BAD" in answer.out) == (0, False)
        assert str(tmp_path) in answer.out

    def test_what_is_broken_is_marked(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path / "gone"))
        monkeypatch.setattr(package, "shipped", dict)
        answer = run("doctor")
        assert answer.status == 1
        bad = [line.split()[1:3] for line in answer.out.splitlines() if line.startswith("BAD")]
        names = ("digits", "numbers", "mnist-as-published")
        assert bad == [*(["model", name] for name in names), ["data", "folder"]]


def test_version_and_module() -> None:
    from inkshift import __version__

    environment = os.environ | {"PYTHONPATH": str(SRC)}
    command = [sys.executable, "-m", "inkshift", "--version"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == f"inkshift {__version__}\n"


def test_help_imports_nothing_heavy_and_public_names_come_when_asked_for() -> None:
    code = (
        "import sys, inkshift; from inkshift.cli.app import whole_app; whole_app(); "
        "heavy = {'numpy', 'cv2', 'onnxruntime', 'pydantic', 'PIL'} & set(sys.modules); assert not heavy, heavy; "
        "assert all(getattr(inkshift, name) is not None for name in inkshift.__all__); "
        "assert set(inkshift.__all__) <= set(dir(inkshift)) and not hasattr(inkshift, 'Nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@reads
def test_one_picture_is_read_without_what_others_need(tmp_path: Path) -> None:
    code = (
        "import sys, inkshift.cli as cli\ntry: cli.main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'sqlalchemy', 'jinja2', 'scipy', 'matplotlib', 'openpyxl'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    command = [sys.executable, "-c", code, "read", SCAN, "--template", TEMPLATE, "--out", tmp_path / "out.csv"]
    subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "out.csv").is_file()


@reads
class TestTalk:
    """What is said beside the readings, and where."""

    def test_quiet_says_errors_alone(self, run: Run, tmp_path: Path) -> None:
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"")
        answer = run("--quiet", "read", SCAN, bad, "--template", TEMPLATE, "--out", tmp_path / "out.csv")
        assert answer.status == 1
        assert "read 1 form" not in answer.err and "pages not read: 1" in answer.err

    def test_a_log_holds_what_is_said_with_the_time(self, run: Run, tmp_path: Path) -> None:
        log = tmp_path / "night.log"
        for _ in range(2):
            run("-q", "--log", log, "read", SCAN, "--template", TEMPLATE, "--out", tmp_path / "out.csv")
        lines = log.read_text().splitlines()
        assert [line.split(" INFO ")[1] for line in lines] == 2 * ["read 1 form, 13 fields"]
        assert lines[0][:4].isdigit()
        answer = run("--log", tmp_path / "none" / "a.log", "doctor")
        assert answer.status == 2 and "choose another place for the log" in answer.err

    def test_readings_go_into_a_database_and_again_without_doubles(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for _ in range(2):
            assert run("read", SCAN, "--template", TEMPLATE, "--out", "sqlite:///out.db#telegrams").status == 0
        with closing(sqlite3.connect("out.db")) as connection:
            (found,) = connection.execute("select count(*), sum(page), count(distinct run) from telegrams").fetchall()
        assert found == (13, 13, 1)
        assert [path.name for path in tmp_path.iterdir()] == ["out.db"]

    def test_readings_of_two_folders_of_one_name_do_not_take_each_other_out(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for county, scan in (("north", "scan-1.jpg"), ("south", "scan-4.jpg")):
            folder = tmp_path / county / "scans"
            folder.mkdir(parents=True)
            shutil.copy(TELEGRAM / scan, folder)
            monkeypatch.chdir(folder.parent)
            run("read", "scans", "--template", TEMPLATE, "--out", f"sqlite:///{tmp_path / 'out.db'}")
        with closing(sqlite3.connect(tmp_path / "out.db")) as connection:
            found = connection.execute("select distinct form from readings order by form").fetchall()
        assert found == [("T-0001",), ("T-0004",)]

    def test_verbose_tells_each_form(self, run: Run) -> None:
        answer = run("--verbose", "read", SCAN, "--template", TEMPLATE)
        assert "T-0001: 13 fields" in answer.err

    def test_paths_are_listed_on_standard_input(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{TELEGRAM / 'scan-4.jpg'}\n\n{SCAN}\n"))
        answer = run("read", "-", "--template", TEMPLATE)
        assert list(dict.fromkeys(row["form"] for row in answer.rows)) == ["T-0004", "T-0001"]
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        assert "expected a list of paths on standard input" in run("read", "-", "--template", TEMPLATE).err

    def test_progress_is_told_in_lines_where_no_bar_can_be_drawn(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("inkshift.cli.show._TELL_SECONDS", 0.0)
        answer = run("read", SCAN, TELEGRAM / "scan-4.jpg", "--template", TEMPLATE)
        assert "reading: 1 of 2 pages" in answer.err
        assert "reading" not in run("-q", "read", SCAN, "--template", TEMPLATE).err


def test_a_file_and_its_line_stay_what_they_are(run: Run, tmp_path: Path) -> None:
    readings = tmp_path / "r.jsonl"
    readings.write_text("\n" * 99 + "no\n")
    labels = tmp_path / "labels.csv"
    labels.write_text("form,field,value\na,b,1\n")
    assert "r.jsonl:100:" in run("evaluate", readings, labels).err


@pytest.mark.parametrize("command", ["read", "study run", "model train", "template new"])
def test_help_keeps_examples_whole(run: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    answer = run(*command.split(), "--help")
    lines = answer.out.splitlines()
    examples = [i for i, line in enumerate(lines) if line.startswith("    inkshift ")]
    assert answer.status == 0 and examples
    assert not any(lines[i + 1].strip() for i in examples), "an example goes on in another line"
