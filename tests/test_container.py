"""What the container installs: fixed by hashes, and its steps are run, so that they cannot rot where none is built."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONTAINER = ROOT / "container"
EXTRAS = ("review", "postgres", "parquet")


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


def test_each_package_is_fixed_by_version_and_hash() -> None:
    lines = (CONTAINER / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    kept = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert all(re.match(r"[a-z0-9-]+==[\w.]+(\s+;[^#]*)?(\s+--hash=sha256:[0-9a-f]{64})+\s*$", line) for line in kept)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {name_of(one) for one in project["dependencies"]}
    asked |= {name_of(one) for extra in EXTRAS for one in project["optional-dependencies"][extra]}
    assert asked - {"inkshift"} <= {name_of(line) for line in kept}, "run `make lock`"


def test_a_container_holds_no_more_than_it_needs() -> None:
    """Not root, nothing writable but the data, the passwords in files; and the options that it gives are there."""
    review = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]["review"]
    assert review["read_only"] and review["cap_drop"] == ["ALL"] and review["ports"][0].startswith("127.0.0.1:")
    secrets = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["secrets"].values()
    kept_out = (ROOT / ".dockerignore").read_text().splitlines()
    kept_out = kept_out[kept_out.index("!container") :]  # the last line that fits decides
    assert all(any(Path("container", one["file"]).match(line) for line in kept_out) for one in secrets)
    dockerfile = (CONTAINER / "Dockerfile").read_text()
    assert dockerfile.index("USER inkshift") < dockerfile.index("ENTRYPOINT")
    usage = subprocess.run(
        [sys.executable, "-m", "inkshift", "review", "--help"], capture_output=True, text=True, check=True
    ).stdout
    started = json.loads(re.search(r"^CMD (\[.*\])$", dockerfile, re.M)[1]) + review["command"][-1].split()  # type: ignore[index]
    options = {word for word in started if re.fullmatch(r"--[a-z-]+", word)}
    assert len(options) >= 5 and all(option in usage for option in options)


def test_a_cluster_is_described_as_ray_takes_it() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    wanted = yaml.safe_load((CONTAINER / "ray-up.yaml").read_text())
    util.validate_config(util.prepare_config(wanted))
    started = " ".join(wanted["head_start_ray_commands"] + wanted["worker_start_ray_commands"])
    assert_known(started, [sys.executable, "-c", "from ray.scripts.scripts import cli; cli()", "start", "--help"])


def test_a_job_on_kubernetes_gives_options_that_there_are() -> None:
    job = yaml.safe_load((CONTAINER / "kuberay.yaml").read_text())["spec"]
    assert_known(job["entrypoint"], [sys.executable, "-m", "inkshift", "read", "--help"])
    groups = [job["rayClusterSpec"]["headGroupSpec"], *job["rayClusterSpec"]["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    assert len(pods) == 2 and pods[0]["volumes"] == pods[1]["volumes"], "all see the files under the same names"
    assert pods[0]["containers"][0]["volumeMounts"] == pods[1]["containers"][0]["volumeMounts"]


def assert_known(command: str, help_of: list[str]) -> None:
    usage = subprocess.run(help_of, capture_output=True, text=True, check=True).stdout
    options = {word for word in command.split() if re.fullmatch(r"--[a-z-]+", word)}
    assert len(options) >= 4 and all(option in usage for option in options)


@pytest.mark.slow
def test_the_bill_of_materials_names_what_the_container_installs(tmp_path: Path) -> None:
    """By the line of `make sbom`."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    if subprocess.run([tmp_path / "env/bin/python", "-m", "pip", "install", "--quiet", "cyclonedx-bom"]).returncode:
        pytest.skip("the package index does not answer")
    (line,) = re.findall(r"cyclonedx-py (.*) --output-file", (ROOT / "Makefile").read_text())
    said = subprocess.run(
        [tmp_path / "env/bin/cyclonedx-py", *line.split()], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    named = {(one["name"], one["version"]) for one in json.loads(said.stdout)["components"]}
    kept = re.findall(r"^([a-z0-9-]+)==(\S+)", (CONTAINER / "requirements.txt").read_text(), re.MULTILINE)
    assert len(kept) > 50 and named == set(kept)


@pytest.mark.slow
def test_the_steps_of_the_container_give_a_review_that_answers(tmp_path: Path) -> None:
    # Nothing of this environment comes along but what pip needs to reach the index.
    bare = {name: value for name, value in os.environ.items() if name.lower().endswith("proxy") or name[:4] == "PIP_"}
    bare |= {"PATH": f"{Path(sys.executable).resolve().parent}:/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", tmp_path, "hatchling"]
    if subprocess.run(asked, env=bare).returncode:
        pytest.skip("the package index does not answer")
    subprocess.run(["sh", "container/install.sh", tmp_path / "env"], cwd=ROOT, env=bare, check=True)
    command = [tmp_path / "env/bin/inkshift", "review", "--host", "0.0.0.0", "--port", "0", "--no-browser"]
    command += ["--db", f"sqlite:///{tmp_path}/review.db", "--files", tmp_path / "files", "--supervisor", "maria"]
    own = {**bare, "INKSHIFT_PASSWORD": "correct horse battery", "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said, env=own)
    try:
        assert health(tmp_path / "said", server) == "ok"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(120)


def health(said: Path, server: subprocess.Popen[bytes]) -> str:
    for _ in range(600):
        if found := re.search(r"http://[^:]+:(\d+)/", said.read_text()):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/health", timeout=5) as answer:
                    return str(answer.read().decode())
            except urllib.error.URLError:
                pass
        assert server.poll() is None, said.read_text()
        time.sleep(0.5)
    return said.read_text()
