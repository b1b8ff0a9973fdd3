"""Work on a Ray cluster: the same results as here, whatever dies. The cluster is one that Ray starts here."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from inkshift.cli.options import cluster_of
from inkshift.cluster import _Hand
from inkshift.errors import InputError, SettingError
from inkshift.forms.page.files import PageRef
from inkshift.forms.scans import read_away
from inkshift.models.package import load_model

pytest.importorskip("ray")
TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
PATIENCE = 900  # seconds that a run may take on a busy machine; alone it takes ten

# In a process of its own: Ray starts threads and warns of its own libraries. The first worker is lost as it
# begins; items kill their worker once, or always.
WORK = """
import json, os, signal, sys, time
from contextlib import closing
from pathlib import Path
from inkshift import cluster, jobs
from ray_work import began, square

if __name__ == "__main__":
    marks = Path(sys.argv[1])
    journal = jobs.Journal(marks / "journal", "f")
    items = [(str(n), (n, str(marks))) for n in range(24)]
    how = dict(workers=2, address="local", setup=began, setup_args=(str(marks),), journal=journal)
    with closing(cluster.run(square, items, on_crash=lambda key: "gone", **how)) as results:
        print(json.dumps(list(results)))
"""
# All workers are killed while this process is busy elsewhere; a cluster that runs here already is none of its business.
IDLE = """
import json, os, signal, sys, time
from contextlib import closing
from pathlib import Path
from inkshift import cluster
from ray_work import began, square

if __name__ == "__main__":
    os.environ["RAY_ADDRESS"] = "127.0.0.1:1"
    marks, out = Path(sys.argv[1]), []
    (marks / "lost").touch()  # none is lost as it begins: while this process is elsewhere, none would take its place
    items = [(str(n), (n, str(marks))) for n in range(24) if n not in (3, 7)]
    how = dict(workers=2, address="local", setup=began, setup_args=(str(marks),), on_crash=lambda key: "gone")
    with closing(cluster.run(square, items, **how)) as results:
        for result in results:
            out.append(result)
            if len(out) == 2:
                while len((marks / "began").read_text().splitlines()) < 2:
                    time.sleep(0.1)
                time.sleep(2)
                for worker in (marks / "began").read_text().split():
                    os.kill(int(worker), signal.SIGKILL)
                time.sleep(2)
    print(json.dumps(out))
"""
UNSENT = """
import json, sys
from contextlib import closing
from inkshift import cluster
from ray_work import unsent

if __name__ == "__main__":
    keys = []
    with closing(cluster.run(unsent, [(str(n), n) for n in range(4)], workers=1, address="local")) as results:
        try:
            keys += (key for key, _ in results)
        except TypeError:
            print(json.dumps(keys))
"""
MODULE = """
import os, signal, threading
from pathlib import Path

def began(marks):
    lost = Path(marks, "lost")
    if not lost.exists():
        lost.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with open(Path(marks, "began"), "a") as file:
        file.write(f"{os.getpid()}\\n")

def square(item):
    n, marks = item
    with open(Path(marks, "done"), "a") as file:
        file.write(f"{n} {os.getpid()}\\n")
    once = Path(marks, "once")
    if n == 7 or (n == 3 and not once.exists()):
        if n == 3:
            once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return n * n

def unsent(n):
    return threading.Lock() if n == 2 else n
"""


@pytest.fixture
def work(tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "ray_work.py").write_text(MODULE)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return [sys.executable, str(tmp_path / "work.py"), str(tmp_path)], {**os.environ, "PYTHONPATH": path}


def test_a_worker_that_dies_costs_its_own_item_alone(work: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    """Killed once, an item is done again; killed twice, it is named; the rest comes in order, from warm workers; what
    the journal holds is not done again."""
    command, own = work
    wanted = [[str(n), "gone" if n == 7 else n * n] for n in range(24)]
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == wanted
    tried = [line.split()[0] for line in (tmp_path / "done").read_text().splitlines()]
    assert sorted(tried, key=int) == sorted([*map(str, range(24)), "3", "7"], key=int)
    assert len((tmp_path / "began").read_text().splitlines()) <= 2 + 3, "workers stay warm"
    again = subprocess.run(command, env=own, capture_output=True, text=True, timeout=PATIENCE)
    assert json.loads(again.stdout.splitlines()[-1]) == wanted
    assert len((tmp_path / "done").read_text().splitlines()) == len(tried)


def test_workers_that_died_idle_cost_no_item(work: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    """As where a node goes while none of its workers had anything to do: no item was there to kill them."""
    command, own = work
    (tmp_path / "work.py").write_text(IDLE)
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[str(n), n * n] for n in range(24) if n not in (3, 7)]


def test_a_result_that_cannot_be_sent_is_raised_in_its_place(
    work: tuple[list[str], dict[str, str]], tmp_path: Path
) -> None:
    command, own = work
    (tmp_path / "work.py").write_text(UNSENT)
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["0", "1"]


@pytest.mark.slow
def test_readings_are_the_same_whatever_is_killed() -> None:
    """Workers, raylets and the process that hands out are killed at random moments: no byte of the readings differs."""
    from killed import killed

    told = "\n".join(killed(8))
    assert "| all | **8** |" in told and "ended otherwise 0 times" in told, told


def test_a_page_that_a_node_does_not_see_is_no_page_that_cannot_be_read(tmp_path: Path) -> None:
    """Else a node without the folder would fail all pages, as it is the quickest."""
    with pytest.raises(InputError, match=r"gone.jpg: is not there, though who hands out sees it; mount its folder"):
        read_away(PageRef(str(tmp_path / "gone.jpg"), 1, 1))


def test_readings_are_those_of_this_machine_byte_for_byte(tmp_path: Path, shipped_model: str) -> None:
    command = [sys.executable, "-m", "inkshift", "read", str(TELEGRAM / "scan-1.jpg"), str(TELEGRAM / "scan-2.jpg")]
    command += ["--template", str(TELEGRAM / "template.json"), "--workers", "1", "--out"]
    for out, more in (("here.csv", []), ("there.csv", ["--engine", "ray"])):
        done = subprocess.run([*command, str(tmp_path / out), *more], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()


@pytest.mark.slow
def test_a_study_has_the_digest_that_it_has_on_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from test_study import SPEC, write_study

    write_study(tmp_path, SPEC.replace("replicates = 2", "replicates = 1").replace(', "frozen", "fine-tuned"', ""))
    command = [sys.executable, "-m", "inkshift", "study", "run", "tiny.toml", "--workers", "1", "--folder"]
    digests = []
    for folder, more in (("here", []), ("there", ["--engine", "ray"])):
        done = subprocess.run([*command, folder, *more], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        digests += re.findall(r"^digest (\w+)", done.stdout, re.M)
    assert len(digests) == 2 and digests[0] == digests[1]


@pytest.mark.parametrize(
    ("there", "setup", "says"),
    [
        ({"inkshift": "0.0.1"}, None, r"has inkshift .*, expected 0\.0\.1; install that there, or leave the node out"),
        ({"folder": "/no such folder"}, None, r"does not see the folder /no such folder; all nodes need the files"),
        ({}, load_model, r"/no model: no model of this name"),
    ],
    ids=["version", "folder", "model"],
)
def test_what_a_node_lacks_is_told_with_its_name(there: dict[str, str], setup: Any, says: str) -> None:
    duty = ({"inkshift": version("inkshift"), "folder": str(Path.cwd()), **there}, str, setup, ("/no model",))
    good, error = _Hand(duty).begin()
    assert not good and re.match(f"node {re.escape(platform.node())}: .*{says}", str(error)), error


def test_a_full_disk_of_a_node_is_told_with_its_name() -> None:
    def full(item: str) -> str:
        raise SettingError("/tmp: the temporary folder cannot be written (No space left on device); free its disk")

    good, error = _Hand(({}, full, None, ())).do("a page")
    assert not good and str(error).startswith(f"node {platform.node()}: /tmp: the temporary folder cannot be written")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "head", "127.0.0.1:99999"])
def test_where_no_cluster_answers_one_line_says_so(address: str) -> None:
    command = [sys.executable, "-m", "inkshift", "read", str(TELEGRAM / "scan-1.jpg"), "--template"]
    command += [str(TELEGRAM / "template.json"), "--engine", "ray", "--address", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2, done.stderr
    assert f"--address {address}: " in done.stderr and "Traceback" not in done.stderr


def test_an_address_is_of_a_cluster() -> None:
    assert (cluster_of("crew", ""), cluster_of("ray", ""), cluster_of("ray", "h:1")) == ("", "local", "h:1")
    with pytest.raises(SettingError, match="--engine ray"):
        cluster_of("crew", "h:1")
