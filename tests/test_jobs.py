"""Keyed, resumable work: order, journals, and workers that really are killed."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inkshift import jobs
from inkshift.errors import InkshiftError, InputError, MissingExtraError, SettingError
from inkshift.files import file_digest
from inkshift.jobs import Journal, digest, run

factor = 1


def set_factor(value: int) -> None:
    global factor
    factor = value


def refuse(value: int) -> None:
    raise MissingExtraError("study", f"setup {value}")


def scale(item: int) -> int:
    return factor * item


def slow_scale(item: int) -> int:
    time.sleep(0.05 if item % 5 == 0 else 0)
    return 3 * item


def die(item: Any) -> Any:
    os._exit(9)


def kill_if_negative(item: int) -> int | str:
    if item < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 3 * item


def record(item: tuple[str, str]) -> str:
    log, name = item
    with Path(log).open("a") as file:
        print("begin", name, file=file, flush=True)
        if name == "killer" and Path(log).read_text().count("begin killer") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.1 if name == "killer" else 0.02)
        print("end", name, file=file)
    return name


def fail_on_three(item: int) -> int:
    if item == 3:
        raise InputError("3: expected anything else")
    return item


def fail_in_a_way_that_does_not_travel(item: int) -> int:
    raise MissingExtraError("study", "this")


def note_and_wait(item: tuple[str, float]) -> int:
    folder, seconds = item
    (Path(folder) / f"{os.getpid()} {seconds}").touch()
    time.sleep(seconds)
    return os.getpid()


def note_and_scale(item: tuple[str, int]) -> list[int]:
    log, number = item
    with Path(log).open("a") as file:
        file.write(f"{number}\n")
    while number >= 20 and not Path(log).with_name("go on").exists():
        time.sleep(0.02)
    return [number, number**2]


def numbered(count: int) -> Iterator[tuple[str, int]]:
    return ((f"item {i}", i) for i in range(count))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition: Any, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


class TestRun:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_results_come_in_the_order_of_the_items(self, workers: int) -> None:
        expected = [(f"item {i}", 3 * i) for i in range(30)]
        assert list(run(slow_scale, numbered(30), workers=workers)) == expected
        assert multiprocessing.active_children() == []

    @pytest.mark.parametrize("workers", [1, 2])
    def test_setup_runs_in_each_worker(self, workers: int) -> None:
        try:
            done = run(scale, numbered(6), workers=workers, setup=set_factor, setup_args=(7,))
            assert [result for _, result in done] == [0, 7, 14, 21, 28, 35]
        finally:
            set_factor(1)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_items_are_taken_only_a_few_ahead(self, workers: int) -> None:
        taken = 0

        def source() -> Iterator[tuple[str, int]]:
            nonlocal taken
            for taken in range(1, 10**9):
                yield str(taken), taken

        with contextlib.closing(run(scale, source(), workers=workers)) as results:
            for count, _ in enumerate(results, 1):
                assert taken - count <= jobs._AHEAD * workers
                if count == 50:
                    break

    def test_no_items_and_wrong_workers(self) -> None:
        assert list(run(scale, [], workers=2)) == []
        with pytest.raises(SettingError, match="workers: expected 1 or more, found 0"):
            run(scale, [], workers=0)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_an_error_comes_after_the_results_before_it(self, workers: int) -> None:
        seen = []
        with pytest.raises(InputError, match="expected anything else"):
            for _, result in run(fail_on_three, numbered(30), workers=workers):
                seen.append(result)
        assert seen == [0, 1, 2]
        assert multiprocessing.active_children() == []

    def test_an_error_that_cannot_be_sent_is_told_in_words(self) -> None:
        with pytest.raises(InkshiftError, match=r"needs an optional part.*\[study\]"):
            list(run(fail_in_a_way_that_does_not_travel, numbered(2), workers=2))

    def test_an_error_of_the_source_or_of_setup_ends_the_workers(self) -> None:
        def source() -> Iterator[tuple[str, int]]:
            yield from numbered(20)
            raise InputError("list: cannot be read further")

        with pytest.raises(InputError, match="read further"):
            list(run(scale, source(), workers=2))
        with pytest.raises(InkshiftError, match="setup 5"):
            list(run(scale, numbered(4), workers=2, setup=refuse, setup_args=(5,)))
        assert multiprocessing.active_children() == []

    def test_closing_ends_workers_in_the_middle_of_an_item(self, tmp_path: Path) -> None:
        items = [("quick", (str(tmp_path), 0.0)), *((f"slow {i}", (str(tmp_path), 600.0)) for i in range(9))]
        results = run(note_and_wait, items, workers=2)
        next(results)
        assert wait_for(lambda: any(path.name.endswith(" 600.0") for path in tmp_path.iterdir()))
        results.close()
        assert not any(alive(int(path.name.split()[0])) for path in tmp_path.iterdir())


class TestCrash:
    def test_a_killed_worker_costs_only_its_own_item(self, tmp_path: Path) -> None:
        items = [(f"item {i}", -1 if i in (2, 11) else i) for i in range(20)]
        with contextlib.closing(Journal(tmp_path / "j", "x")) as journal:
            done = list(run(kill_if_negative, items, workers=2, journal=journal, on_crash=lambda key: f"lost {key}"))
        expected = {i: f"lost item {i}" if i in (2, 11) else 3 * i for i in range(20)}
        assert done == [(f"item {i}", result) for i, result in expected.items()]

    def test_an_item_is_tried_a_second_time_and_alone(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        names = ["a", "b", "c", "killer", "d", "e", "f", "g", "h"]
        done = run(record, [(name, (str(log), name)) for name in names], workers=2)
        assert list(done) == [(name, name) for name in names]
        lines = log.read_text().splitlines()
        assert lines.count("begin killer") == 2
        second = lines.index("end killer")
        assert lines[second - 1] == "begin killer"
        begun, ended = (sorted(x.split()[1] for x in lines[: second - 1] if x.startswith(w)) for w in ("begin", "end"))
        assert begun == sorted([*ended, "killer"])

    def test_without_on_crash_it_is_an_error(self) -> None:
        with pytest.raises(InkshiftError, match=r"item 0: its worker died twice .*-9"):
            list(run(kill_if_negative, [("item 0", -1), ("item 1", 1)], workers=2))

    def test_workers_that_cannot_start_are_an_error(self) -> None:
        with pytest.raises(InkshiftError, match=r"ended while it started \(exit status 9\)"):
            list(run(scale, numbered(4), workers=2, setup=die, setup_args=(0,), on_crash=lambda key: 0))


class TestJournal:
    def test_results_come_back_and_are_not_worked_out_again(self, tmp_path: Path) -> None:
        path, log = tmp_path / "out.journal", tmp_path / "log"
        items = [(f"ключ {i}\udc80", (str(log), i)) for i in range(6)]
        first = Journal(path, "settings")
        early = list(run(note_and_scale, items[:4], journal=first))
        first.close()
        second = Journal(path, "settings")
        assert list(run(note_and_scale, items, workers=2, journal=second))[:4] == early
        assert list(run(note_and_scale, items, journal=second))[4:] == [(items[i][0], [i, i * i]) for i in (4, 5)]
        second.close(remove=True)
        assert sorted(log.read_text().split()) == list("012345")
        assert not path.exists()

    def test_another_fingerprint_starts_anew(self, tmp_path: Path) -> None:
        with contextlib.closing(Journal(tmp_path / "j", "a")) as journal:
            journal.add("k", 1)
        with contextlib.closing(Journal(tmp_path / "j", "b")) as journal:
            assert "k" not in journal
            journal.add("m", 2)
        with contextlib.closing(Journal(tmp_path / "j", "b")) as journal:
            assert journal["m"] == 2

    def test_any_cut_of_the_file_loses_only_torn_results(self, tmp_path: Path) -> None:
        path = tmp_path / "j"
        with contextlib.closing(Journal(path, "a")) as journal:
            for i in range(3):
                journal.add(f"k{i}", {"value": i})
        whole = path.read_bytes()
        for length in range(len(whole) + 1):
            path.write_bytes(whole[:length])
            with contextlib.closing(Journal(path, "a")) as journal:
                kept = max(0, whole[:length].count(b"\n") - 1)
                assert [f"k{i}" in journal for i in range(3)] == [i < kept for i in range(3)]
                journal.add("new", [length])
                assert journal["new"] == [length]
                assert all(journal[f"k{i}"] == {"value": i} for i in range(kept))
            assert [json.loads(line).get("key") for line in path.read_text().splitlines()] == [
                None,
                *[f"k{i}" for i in range(kept)],
                "new",
            ]

    def test_another_file_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "readings.csv"
        path.write_text("form,field,value\n")
        with pytest.raises(InputError, match=r"readings\.csv: expected a journal"):
            Journal(path, "a")
        assert path.read_text() == "form,field,value\n"
        with pytest.raises(InputError, match="cannot be written"):
            Journal(tmp_path / "no folder" / "j", "a")


RESUMED = """
import sys
from pathlib import Path
from inkshift.jobs import Journal, run
from test_jobs import note_and_scale

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    items = ((f"item {i}", (str(folder / "log"), i)) for i in range(40))
    journal = Journal(folder / "journal", "same")
    with (folder / "out").open("w") as out:
        for key, result in run(note_and_scale, items, workers=2, journal=journal):
            print(key, result, file=out)
"""


@contextlib.contextmanager
def started(script: Path, *args: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    paths = [str(Path(__file__).parent), str(Path(jobs.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen([sys.executable, str(script), *map(str, args)], env=environment) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def test_killed_in_the_middle_and_started_again(tmp_path: Path) -> None:
    script, journal, log = tmp_path / "resumed.py", tmp_path / "journal", tmp_path / "log"
    script.write_text(RESUMED)

    def finished() -> list[str]:
        lines = journal.read_text().splitlines(keepends=True)[1:] if journal.exists() else []
        return [json.loads(line)["key"] for line in lines if line.endswith("\n")]

    with started(script, tmp_path) as process:
        assert wait_for(lambda: len(finished()) >= 15)
        process.kill()
    kept = finished()
    assert 15 <= len(kept) <= 20
    before = log.read_text().split()
    (tmp_path / "go on").touch()
    with started(script, tmp_path) as process:
        assert process.wait(60) == 0
    again = log.read_text().split()[len(before) :]
    assert not {f"item {number}" for number in again} & set(kept)
    assert (tmp_path / "out").read_text().splitlines() == [f"item {i} [{i}, {i * i}]" for i in range(40)]


ORPHANS = """
import signal
import sys
from inkshift.jobs import run
from test_jobs import note_and_wait

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without it
    for _ in run(note_and_wait, [(str(i), (sys.argv[1], 600.0)) for i in range(4)], workers=2):
        pass
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_parent_leaves_no_workers(tmp_path: Path, number: signal.Signals) -> None:
    script, notes = tmp_path / "orphans.py", tmp_path / "notes"
    notes.mkdir()
    script.write_text(ORPHANS)
    with started(script, notes) as process:
        assert wait_for(lambda: len(list(notes.iterdir())) == 2)
        process.send_signal(number)
    workers = [int(path.name.split()[0]) for path in notes.iterdir()]
    assert wait_for(lambda: not any(alive(pid) for pid in workers))


def test_digests(tmp_path: Path) -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("é") == digest("é".encode())
    assert len(digest()) == len(digest("\udc80")) == 64
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a").startswith("ba7816bf8f01cfea")
    with pytest.raises(InputError, match="cannot be read"):
        file_digest(tmp_path / "b")
