"""The trail of each value: what it holds, that nothing in it can be changed unseen, and that it can be read again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inkshift import files
from inkshift.cli import main
from inkshift.cli import verify as _registered  # noqa: F401
from inkshift.cli.app import app
from inkshift.errors import DataError, SettingError
from inkshift.forms.out.batch import Target, read_into
from inkshift.forms.out.export import write_forms
from inkshift.forms.out.trail import check, files_as_read, open_trail, read_again, seal_of
from inkshift.forms.page import files as pages
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.page.place import on_page
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FormReading, page_from_json, page_to_json
from inkshift.forms.registration.registered import RegisteredPage
from inkshift.remote import address_of

pytestmark = pytest.mark.usefixtures("shipped_model")


def picture(path: Path, text: str) -> Path:
    """A number in a line font, dark on white."""
    image = np.full((48, 40 + 30 * len(text)), 250, np.uint8)
    cv2.putText(image, text, (12, 38), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (30,), 3, cv2.LINE_AA)
    cv2.imwrite(str(path), image)
    return path


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(read_as="digit")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, reader: Reader) -> tuple[Path, bytes]:
    """A trail of two runs over three pictures, one of them no picture; where it is, and its bytes."""
    folder = tmp_path_factory.mktemp("trail")
    pages = [picture(folder / f"{text}.png", text) for text in "37"] + [folder / "broken.png"]
    pages[2].write_bytes(b"\x89PNG\r\n\x1a\n")
    trail = folder / "readings.trail"
    write_forms(reader.read(pages), open_trail(trail, reader))
    write_forms(reader.read(pages[:1]), open_trail(trail, reader))
    return trail, trail.read_bytes()


def records(trail: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in trail.read_text().splitlines()]


def faults(trail: Path) -> list[tuple[int, str]]:
    found = check(trail)
    both = [*found.faults, *files_as_read(found), *(fault for run in found.runs for fault in read_again(run))]
    return [(fault.line, fault.message) for fault in both]


def edited(made: tuple[Path, bytes], change: Callable[[bytes], bytes]) -> Path:
    trail, whole = made
    other = trail.with_name("edited.trail")
    other.write_bytes(change(whole))
    seal_of(other).write_bytes(seal_of(trail).read_bytes())
    return other


def first_run(whole: bytes) -> bytes:
    return whole[: whole.index(b"\n", whole.index(b'"kind": "end"')) + 1]


def test_a_value_has_its_file_place_model_and_candidates(made: tuple[Path, bytes], reader: Reader) -> None:
    settings, value, _, page, end, again, *_ = records(made[0])
    assert settings["models"][reader.model.manifest.name] == reader.model.digest  # type: ignore[index]
    assert value["file"] == str(made[0].with_name("3.png")) and len(str(value["sha256"])) == 64
    assert value["box"] == [0, 0, 70, 48]
    assert value["decided_by"] == "reader"
    assert value["candidates"][0] == [value["written"], value["confidence"]]  # type: ignore[index]
    assert page["kind"] == "page" and "broken.png" in str(page["error"])
    assert (end["kind"], end["lines"], again["kind"]) == ("end", 3, "settings")


def test_a_trail_that_was_left_alone_holds_and_reads_the_same(made: tuple[Path, bytes]) -> None:
    assert faults(made[0]) == []
    found = check(made[0])
    assert (len(found.runs), found.values) == (2, 3)


@given(st.data())
def test_any_changed_byte_is_found(made: tuple[Path, bytes], data: st.DataObject) -> None:
    whole = made[1]
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != whole[at]))
    trail = edited(made, lambda b: b[:at] + bytes([byte]) + b[at + 1 :])
    assert check(trail).faults


@given(st.data())
def test_a_trail_cut_off_anywhere_is_found(made: tuple[Path, bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(made[1]) - 1))
    assert check(edited(made, lambda b: b[:at])).faults


def test_a_last_run_that_was_taken_out_is_told_and_nothing_is_added(made: tuple[Path, bytes], reader: Reader) -> None:
    trail = edited(made, first_run)
    told = CliRunner().invoke(app, ["verify", str(trail), "--quick"])
    assert told.exit_code == 1
    assert "expected 2 runs, as its seal edited.trail.seal says, found 1" in told.stdout.replace("\n", " ")
    with pytest.raises(DataError, match="found 1; the last were taken out; nothing is added"):
        write_forms([], open_trail(trail, reader))
    trail.unlink()
    with pytest.raises(DataError, match="found 0; the last were taken out; nothing is added"):
        write_forms([], open_trail(trail, reader))


def test_a_seal_that_is_gone_or_changed_is_told(made: tuple[Path, bytes], reader: Reader) -> None:
    trail = edited(made, first_run)
    seal_of(trail).unlink()
    (fault,) = check(trail).faults
    assert fault.message == "expected its seal edited.trail.seal beside it, found none; put it there"
    with pytest.raises(DataError, match=r"seal beside it, found none"):
        write_forms([], open_trail(trail, reader))
    for spoiled, told in (
        ("{}", "it was changed"),
        ("\0", "it was changed"),
        (json.dumps({"runs": 1, "sha256": "0" * 64}), "run 1 does not end as its seal"),
    ):
        seal_of(trail).write_text(spoiled)
        (fault,) = check(trail).faults
        assert told in fault.message


def test_a_run_added_since_the_seal_holds_as_a_kill_between_the_two_leaves_it(
    made: tuple[Path, bytes], tmp_path: Path, reader: Reader
) -> None:
    trail, added = tmp_path / "t", edited(made, lambda b: b)
    write_forms([], open_trail(trail, reader))
    before = seal_of(trail).read_bytes()
    write_forms([], open_trail(trail, reader))
    seal_of(trail).write_bytes(before)
    assert check(trail).faults == ()
    write_forms([], open_trail(added, reader))
    assert check(added).faults == () and json.loads(seal_of(added).read_text())["runs"] == 3


def test_a_trail_from_before_there_were_seals_holds_and_has_one_from_its_next_run(
    made: tuple[Path, bytes], tmp_path: Path, reader: Reader
) -> None:
    trail, lines, before = tmp_path / "old", list[bytes](), "0" * 64
    for record in records(made[0]):
        record.pop("runs", None)
        lines.append(json.dumps(record | {"previous": before}).encode())
        before = hashlib.sha256(lines[-1]).hexdigest()
    trail.write_bytes(b"\n".join(lines) + b"\n")
    assert faults(trail) == []
    whole = trail.read_bytes()
    write_forms([], open_trail(trail, reader))
    assert faults(trail) == []
    trail.write_bytes(whole)
    assert "expected 3 runs" in str(faults(trail))


def test_a_line_taken_out_moved_or_put_in_is_found(made: tuple[Path, bytes]) -> None:
    lines = made[1].splitlines(keepends=True)
    for i in range(len(lines)):
        assert check(edited(made, lambda b, i=i: b"".join(lines[:i] + lines[i + 1 :]))).faults  # type: ignore[misc]
        assert check(edited(made, lambda b, i=i: b"".join(lines[: i + 1] + lines[i:]))).faults  # type: ignore[misc]


def test_an_edited_line_is_named(made: tuple[Path, bytes]) -> None:
    trail = edited(made, lambda b: b.replace(b'"value": "3"', b'"value": "8"', 1))
    (fault,) = check(trail).faults
    assert fault.line == 2
    assert "was changed after it was written" in fault.message


def test_a_torn_last_line_is_named_and_nothing_is_added_to_it(made: tuple[Path, bytes], reader: Reader) -> None:
    trail = edited(made, lambda b: b[:-9])
    assert (9 - 1, True) in [(f.line, "is torn" in f.message) for f in check(trail).faults]
    with pytest.raises(DataError, match="does not end a run"):
        write_forms([], open_trail(trail, reader))


def test_a_torn_trail_is_repaired_by_name(made: tuple[Path, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    torn = edited(made, lambda data: data + data[: len(data) // 2])
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(torn), "--quick", "--repair"])
    assert ended.value.code == 0 and torn.read_bytes() == made[1]
    rest = torn.with_name(f"{torn.name}.torn")
    assert rest.read_bytes() == made[1][: len(made[1]) // 2] and str(rest) in capsys.readouterr().err.replace("\n", "")


def rewritten(made: tuple[Path, bytes], reader: Reader, **changes: object) -> Path:
    """A trail that was written with other contents in its first value, whole as a chain."""
    trail = made[0].with_name("rewritten.trail")
    for file in (trail, seal_of(trail)):
        file.unlink(missing_ok=True)
    (form,) = reader.read([made[0].with_name("3.png")])
    write_forms([replace(form, fields=(replace(form.fields[0], **changes),))], open_trail(trail, reader))  # type: ignore[arg-type]
    return trail


def test_a_value_that_the_page_does_not_say_is_named(made: tuple[Path, bytes], reader: Reader) -> None:
    trail = rewritten(made, reader, value="8", written="8")
    assert check(trail).faults == ()
    assert faults(trail) == [(2, "form 3 field digit: value '8' in the trail, '3' read now")]


def test_what_was_accepted_or_broken_otherwise_is_named(made: tuple[Path, bytes], reader: Reader) -> None:
    assert "accepted True in the trail, None read now" in str(faults(rewritten(made, reader, accepted=True)))
    broken = faults(rewritten(made, reader, rules_broken=("sum-1 a = b: 1, but b is 2",)))
    assert "rules_broken ['sum-1 a = b: 1, but b is 2'] in the trail, [] read now" in str(broken)


def test_a_torn_trail_is_refused_before_anything_is_read(tmp_path: Path, reader: Reader) -> None:
    page, trail, out = picture(tmp_path / "3.png", "3"), tmp_path / "t.jsonl", tmp_path / "out.csv"
    trail.write_text('{"torn')
    with pytest.raises(DataError, match="does not end a run"):
        read_into(reader, [page], Target(out, trail=trail))
    assert not out.exists() and trail.read_text() == '{"torn'


def test_a_trail_tells_of_no_reading_whose_table_could_not_be_written(tmp_path: Path, reader: Reader) -> None:
    page, trail = picture(tmp_path / "3.png", "3"), tmp_path / "t.jsonl"
    out = tmp_path / "gone" / "out.xlsx"
    out.parent.mkdir()
    target = Target(out, trail=trail)

    def spoil(form: FormReading) -> None:
        shutil.rmtree(out.parent)
        out.parent.touch()

    with pytest.raises(SettingError, match="cannot be written"):
        read_into(reader, [page], target, watch=spoil)
    assert not trail.exists()


def test_candidates_that_differ_are_named(made: tuple[Path, bytes], reader: Reader) -> None:
    ((line, message),) = faults(rewritten(made, reader, candidates=()))
    assert line == 2 and message.startswith("form 3 field digit: candidate '3' with probability 0.0000 in the trail")


def test_a_missing_and_a_changed_page_are_named(tmp_path: Path, reader: Reader) -> None:
    page, trail = picture(tmp_path / "5.png", "5"), tmp_path / "t"
    write_forms(reader.read([page]), open_trail(trail, reader))
    picture(page, "6")
    ((line, message),) = faults(trail)
    assert line == 2 and "has changed since it was read" in message
    page.unlink()
    ((line, message),) = faults(trail)
    assert line == 2 and "the file is missing" in message


def test_pages_in_a_store_are_fetched_only_when_asked_for(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, trail = picture(tmp_path / "3.png", "3"), tmp_path / "readings.trail"
    fetched: list[str] = []

    @contextmanager
    def at_hand(path: str | Path, again: bool = False) -> Iterator[Path]:
        fetched.append(address_of(path))
        yield here

    for module in (files, pages):
        monkeypatch.setattr(module, "at_hand", at_hand)
    write_forms(reader.read(["s3://b/3.png", "s3://b/4.png"]), open_trail(trail, reader))
    found = check(trail)
    fetched.clear()
    (fault,) = files_as_read(found)
    assert (
        fault.message == "s3://b/3.png: was not checked, as it lies in a store, like 1 more; --fetch fetches what does"
    )
    assert [*read_again(found.runs[0])] == [] and fetched == []
    assert [*files_as_read(found, fetch=True), *read_again(found.runs[0], fetch=True)] == []
    assert set(fetched) == {"s3://b/3.png", "s3://b/4.png"}


def test_another_model_is_named(tmp_path: Path, made: tuple[Path, bytes], reader: Reader) -> None:
    model = tmp_path / "model"
    shutil.copytree(reader.model.folder, model)
    page, trail = picture(tmp_path / "5.png", "5"), tmp_path / "t"
    own = Reader(read_as="digit", model=model)
    write_forms(own.read([page]), open_trail(trail, own))
    manifest = json.loads((model / "package.json").read_text())
    (model / "package.json").write_text(json.dumps(manifest | {"summary": "another"}))
    ((line, message),) = faults(trail)
    assert line == 1 and "was read with another model: digits" in message
    shutil.rmtree(model)
    ((line, message),) = faults(trail)
    assert line == 1 and "cannot be read again" in message


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, reader: Reader) -> None:
    with pytest.raises(SettingError, match="choose another place"):
        write_forms([], open_trail(tmp_path / "no such folder" / "t", reader))
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty file"):
        check(tmp_path / "empty")


def test_the_command_says_what_it_found(made: tuple[Path, bytes], reader: Reader) -> None:
    good = CliRunner().invoke(app, ["verify", str(made[0]), "--json"])
    assert good.exit_code == 0
    assert json.loads(good.stdout)["faults"] == []
    bad = CliRunner().invoke(app, ["verify", str(rewritten(made, reader, value="8")), "--quick"])
    assert bad.exit_code == 0
    bad = CliRunner().invoke(app, ["verify", str(rewritten(made, reader, value="8"))])
    assert bad.exit_code == 1
    assert "rewritten.trail:2: form 3 field digit: value '8' in the trail" in bad.stdout


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_box_lies_where_it_is_on_the_page_as_loaded(turn: int) -> None:
    page = np.zeros((60, 100), np.uint8)
    page[10:20, 30:70] = 255
    upright = np.ascontiguousarray(np.rot90(page, -turn // 90))
    rows, columns = np.nonzero(upright)
    x, y = columns.min(), rows.min()
    box = (float(x), float(y), float(columns.max() + 1 - x), float(rows.max() + 1 - y))
    assert on_page(RegisteredPage(upright, np.eye(3), 1.0, turn), box) == (30, 10, 70, 20)


def test_the_box_of_a_telegram_field_survives_the_journal(telegram: Path) -> None:
    page = load_page(PageRef(str(telegram / "scan-1.jpg"), 1))
    read = Reader(telegram / "template.json").read_page(page, "scan-1.jpg")
    assert page_from_json(page_to_json(read)) == read
    boxes = np.array([field.box for field in read.fields])
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all() and (boxes <= np.tile(page.shape[1::-1], 2)).all()


def test_a_file_of_endless_faults_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "r.trail").write_text('{"kind": "settings"}\n' * 3000)
    found = check(tmp_path / "r.trail").faults
    assert len(found) == 1001 and "1,000 faults were found; what follows was not read" in found[-1].message
