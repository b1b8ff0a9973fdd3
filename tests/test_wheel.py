"""The package as it is published: built, installed into an empty environment with each extra, and run.

Of each extra one command does what only it can do; without the extra, the same command says how to install it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TELEGRAM = ROOT / "examples" / "telegram"
TEMPLATE = TELEGRAM / "template.json"
READ = ["read", TELEGRAM / "scan-1.jpg", "--template", TEMPLATE]
# The extra `study`, and `keras` with it, is 5.5 GB: its commands are run by the default suite.
EXTRAS: dict[str, list[str | Path]] = {
    "trust": ["shift", TELEGRAM, "--template", TEMPLATE, "--json"],
    "review": ["backup", "kept.zip", "--db", "sqlite:///kept.db"],
    "postgres": ["backup", "kept.zip", "--db", "postgresql://nobody@127.0.0.1:1/none"],
    "parquet": [*READ, "--out", "r.parquet"],
    "pp-ocr": [*READ, "--second-reader", "pp-ocrv6"],
    "cluster": [*READ, "--engine", "ray", "--workers", "1", "--out", "r.csv"],
    "stores": ["read", "s3://election/scans", "--template", TEMPLATE],
}
# Nothing of a clone in the way of what is installed.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        urllib.request.urlopen("https://pypi.org/simple/hatchling/", timeout=10).close()
    except OSError as e:
        pytest.skip(f"the package index does not answer ({e})")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (made,) = folder.glob("inkshift-*.whl")
    return made


def installed(folder: Path, what: str) -> Path:
    """The folder of commands of a new environment with the package and nothing else."""
    venv.create(folder / "env", with_pip=True)
    subprocess.run([folder / "env/bin/python", "-m", "pip", "install", "--quiet", what], check=True)
    return folder / "env/bin"


def run(commands: Path, folder: Path, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in `folder`, of the package that is installed there and no other."""
    command = [commands / "inkshift", *words]
    return subprocess.run([*command], cwd=folder, env=ENVIRONMENT | more, capture_output=True, text=True)


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("bare"), str(wheel))


def test_the_package_alone_reads_and_names_the_extras(bare: Path, wheel: Path, tmp_path: Path) -> None:
    assert run(bare, tmp_path, "doctor").returncode == 0
    done = run(bare, tmp_path, *READ)
    assert done.returncode == 0 and done.stdout.count("T-0001") == 13, done.stderr
    asked = run(bare, tmp_path, "model", "train", "digits", "--out", "m")
    assert "[study]" in asked.stderr and wheel.as_uri() in asked.stderr
    for extra, command in EXTRAS.items():
        asked = run(bare, tmp_path, *command)
        assert asked.returncode and f"[{extra}]" in asked.stderr, f"{extra}: {asked.stderr}"


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_does_what_it_is_for(wheel: Path, extra: str, tmp_path: Path) -> None:
    commands = installed(tmp_path, f"inkshift[{extra}] @ {wheel.as_uri()}")
    with contextlib.ExitStack() as around:
        if extra == "review":
            around.enter_context(reviewing(commands, tmp_path))
        reach = around.enter_context(bucket()) if extra == "stores" else {}
        done = run(commands, tmp_path, *EXTRAS[extra], **reach)
    if extra == "postgres":  # there is none, as its driver found
        assert done.returncode and "cannot be opened (connection" in done.stderr, done.stderr
        return
    assert done.returncode == 0, done.stderr
    if extra == "trust":
        assert 0.5 < json.loads(done.stdout)["predicted"]["share"] <= 1
    elif extra == "review":
        back = run(commands, tmp_path, "restore", "kept.zip", "--db", "sqlite:///back.db")
        assert back.returncode == 0 and (tmp_path / "back.db").is_file(), back.stderr
    elif extra == "parquet":
        assert (tmp_path / "r.parquet").read_bytes()[:4] == b"PAR1"
    else:
        text = (tmp_path / "r.csv").read_text() if extra == "cluster" else done.stdout
        assert text.count("T-0001") == 13


@contextlib.contextmanager
def process(*command: str | Path, folder: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    found = subprocess.Popen([*command], cwd=folder, env=ENVIRONMENT)
    try:
        yield found
    finally:
        found.terminate()
        found.wait()


def says(address: str, wanted: str) -> None:
    """Wait until a server on this machine says it."""
    for _ in range(600):
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            if wanted in answer.read().decode():
                return
        time.sleep(0.2)
    raise AssertionError(f"{address} never said {wanted!r}")


@contextlib.contextmanager
def reviewing(commands: Path, folder: Path) -> Iterator[None]:
    """A server that has read a page into a batch."""
    words = ["review", TELEGRAM / "scan-1.jpg", "--template", TEMPLATE, "--db", "sqlite:///kept.db", "--port", "8599"]
    with process(commands / "inkshift", *words, "--no-browser", folder=folder):
        says("http://127.0.0.1:8599/health", "ok")
        says("http://127.0.0.1:8599/metrics", "inkshift_fields_waiting 13\n")
        yield


@contextlib.contextmanager
def bucket() -> Iterator[dict[str, str]]:
    """How to reach a store on this machine that holds one scan."""
    pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
    boto3 = pytest.importorskip("boto3")
    reach = {"AWS_ENDPOINT_URL": "http://127.0.0.1:8598", "AWS_DEFAULT_REGION": "us-east-1"}
    key = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    with process(sys.executable, "-m", "moto.server", "--port", "8598"):
        says("http://127.0.0.1:8598/moto-api/", "Moto")
        client = boto3.client("s3", endpoint_url=reach["AWS_ENDPOINT_URL"], region_name="us-east-1", **key)
        client.create_bucket(Bucket="election")
        client.upload_file(str(TELEGRAM / "scan-1.jpg"), "election", "scans/scan-1.jpg")
        yield reach | {name.upper(): value for name, value in key.items()}
