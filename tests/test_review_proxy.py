"""Review behind a proxy: under a path of its own, whether the proxy takes it off or not."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from inkshift.errors import SettingError
from inkshift.review import serve
from inkshift.review.app import AppSettings
from inkshift.review.core import intake
from inkshift.review.core import store as stores
from review_app import PASSWORD, client, opened, serving
from review_forms import many

ROOT = "/review"
_ADDRESSES = re.compile(r'\b(?:href|src|action|formaction|hx-[a-z]+)="(/[^"]*)"')
DOCS = Path(__file__).parents[1] / "docs" / "review.md"


@pytest.mark.parametrize("before", ["", ROOT], ids=["taken off", "left"])
def test_every_address_begins_with_the_path(tmp_path: Path, before: str) -> None:
    with opened(tmp_path) as store:
        intake.add_batch(store, "one", many(2, 2))
        stores.add_user(store, "boss", "supervisor", PASSWORD)
        browser = client(store, AppSettings(files=tmp_path, root=ROOT))
        assert browser.get(f"{before}/").headers["location"] == f"{ROOT}/login"
        answer = browser.post(f"{before}/login", data={"name": "boss", "password": PASSWORD})
        assert answer.headers["location"] == f"{ROOT}/" and f"Path={ROOT};" in answer.headers["set-cookie"]
        browser.cookies = {one.name: one.value or "" for one in browser.cookies.jar}  # whatever the path asked for
        for path in ("/", "/batches/1", "/batches/1/queue", "/batches/1/whole", "/people", "/models", "/forms/1"):
            shown = browser.get(before + path)
            addresses = _ADDRESSES.findall(shown.text)
            assert shown.status_code == 200 and len(addresses) > 8
            assert [one for one in addresses if not one.startswith(f"{ROOT}/")] == []
        astray = browser.get(f"{before}/people/")
        assert astray.status_code == 404 and "location" not in astray.headers
        style = next(one for one in _ADDRESSES.findall(shown.text) if one.endswith(".css"))
        assert browser.get(before + style.removeprefix(ROOT)).status_code == 200


def test_what_people_type_is_no_address(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        intake.add_batch(store, 'x href="/batches/1"', many(1, 1))
        text = client(store, AppSettings(files=tmp_path, root=ROOT)).get("/").text
        assert "x href=&#34;/batches/1&#34;" in text


@pytest.mark.parametrize("root", ["review", "/", "/review/", '/a"b', "/a b"])
def test_another_path_is_refused(root: str) -> None:
    with pytest.raises(SettingError, match=r"^--root-path .*: expected a path such as /review"):
        serve.serve("sqlite:///no.db", None, serve.ServerSettings(root=root), files="", demo=False, browser=False)


@contextmanager
def behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A free port for a proxy, and that of review behind it, which has a supervisor."""
    store = stores.open(f"sqlite:///{folder / 'r.db'}")
    stores.add_user(store, "boss", "supervisor", PASSWORD)
    store.close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        front = free.getsockname()[1]
    with serving(folder, monkeypatch, serve.ServerSettings(proxy="127.0.0.1", root=ROOT)) as (port, _):
        yield front, port


def test_the_nginx_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written, but for the port, HTTPS and the path."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if nginx is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    with behind(tmp_path, monkeypatch) as (front, port):
        written = re.search(r"^    (server \{.*?^    \})$", DOCS.read_text(), re.M | re.S)
        assert written
        server = written[1].replace("443 ssl", f"127.0.0.1:{front}").replace(":8571", f":{port}")
        server = server.replace("location / {", f"location {ROOT}/ {{")
        folders = "".join(
            f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        around = f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {folders}"
        (tmp_path / "nginx.conf").write_text(f"{around} {server} }}")
        with subprocess.Popen([nginx, "-c", str(tmp_path / "nginx.conf")]) as process:
            try:
                assert f'action="{ROOT}/login"' in _get(front, f"{ROOT}/login")[1]
                assert _get(front, f"{ROOT}/")[0] == f"{ROOT}/login"
            finally:
                process.terminate()


def test_the_caddy_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written, but for the port and HTTPS."""
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("caddy is not installed: apt-get install caddy")
    with behind(tmp_path, monkeypatch) as (front, port):
        written = re.search(r"^    (review\.example \{.*?^    \})$", DOCS.read_text(), re.M | re.S)
        assert written
        site = written[1].replace("review.example", f"http://review.example:{front}").replace(":8571", f":{port}")
        (tmp_path / "Caddyfile").write_text(f"{{\n admin off\n}}\n{site}\n")
        own = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        with subprocess.Popen(
            [caddy, "run", "--config", "Caddyfile"], cwd=tmp_path, env=own, stderr=subprocess.DEVNULL
        ) as process:
            try:
                assert f'action="{ROOT}/login"' in _get(front, f"{ROOT}/login")[1]
                assert _get(front, f"{ROOT}/")[0] == f"{ROOT}/login"
                assert _get(front, ROOT)[0] == f"{ROOT}/"
            finally:
                process.terminate()


def _get(port: int, path: str) -> tuple[str, str]:
    """Where an answer leads, and its text."""
    for _ in range(1200):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as line:
            try:
                line.request("GET", path, headers={"Host": "review.example"})
            except ConnectionRefusedError:
                time.sleep(0.05)
                continue
            answer = line.getresponse()
            return answer.headers.get("location", ""), answer.read().decode()
    raise AssertionError("the proxy did not begin")
