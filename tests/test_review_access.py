"""Sessions that outlive the server, HTTPS, and the whole page behind a field."""

from __future__ import annotations

import datetime as dt
import json
import re
import socket
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from inkshift.errors import InputError, SettingError
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FormReading, PageNote
from inkshift.review import serve
from inkshift.review.app import AppSettings
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch, add_forms
from inkshift.review.core.schema import OpenSession, User
from inkshift.review.core.store import Store
from inkshift.review.keying.views import crop_of
from inkshift.review.serve import ServerSettings, check_tls
from inkshift.review.web import security
from inkshift.review.web.pagepicture import outline, page_of, picture
from inkshift.review.web.sessions import end_session, find_session, start_session
from review_app import PASSWORD, client, logged_in, opened, serving, token
from review_forms import Clock, field

pytest_plugins = ["review_databases"]
COOKIE = f"{security.COOKIE}-8571"  # of the address that `review_app` asks


def test_a_restart_logs_nobody_out(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        stores.add_user(store, "sue", "supervisor", PASSWORD)
        cookie = logged_in(store, "sue").cookies[COOKIE]
    with opened(tmp_path) as store:
        browser = client(store)
        assert browser.get("/people").status_code == 303
        browser.cookies.set(COOKIE, cookie)
        assert browser.get("/people").status_code == 200


def test_a_session_ends_half_an_hour_after_the_last_that_was_done(store: Store) -> None:
    clock = store.clock = Clock()
    stores.add_user(store, "sue", "supervisor", PASSWORD)
    browser = logged_in(store, "sue")
    for _ in range(3):
        clock.now += dt.timedelta(minutes=29)
        answer = browser.get("/people")
        assert answer.status_code == 200 and "Max-Age=1800;" in answer.headers["set-cookie"]
    assert "set-cookie" not in browser.get("/people").headers, "that is noted but once a minute"
    headers = {"X-CSRF-Token": token(browser), "HX-Request": "true"}
    for _ in range(3):  # an open page asks by itself, which keeps nobody logged in
        clock.now += dt.timedelta(minutes=10)
        last = browser.post("/fields/1/hold", headers=headers)
    assert (last.status_code, last.headers["hx-redirect"]) == (401, "/login")


def test_an_active_session_ends_after_twelve_hours_all_the_same(store: Store) -> None:
    clock = store.clock = Clock()
    user = store.get(User, stores.add_user(store, "sue", "supervisor", PASSWORD))
    assert user is not None
    cookie, _ = start_session(store, user)
    for _ in range(12 * 4 - 1):
        clock.now += dt.timedelta(minutes=15)
        assert find_session(store, cookie)
    clock.now += dt.timedelta(minutes=15)
    assert find_session(store, cookie) is None


def test_who_has_no_password_stays_on_their_own_computer(store: Store) -> None:
    clock = store.clock = Clock()
    browser = client(store)
    csrf = token(browser)
    clock.now += dt.timedelta(hours=11)
    assert token(browser) == csrf


def test_how_long_nothing_may_be_done_is_a_setting(store: Store) -> None:
    clock = store.clock = Clock()
    stores.add_user(store, "sue", "supervisor", PASSWORD)
    browser = client(store, AppSettings(idle=dt.timedelta(minutes=5)))
    assert "Max-Age=300;" in browser.post("/login", data={"name": "sue", "password": PASSWORD}).headers["set-cookie"]
    clock.now += dt.timedelta(minutes=5)
    assert browser.get("/people").headers["location"] == "/login"


def test_who_works_stays_in_however_short_the_setting(store: Store) -> None:
    clock = store.clock = Clock()
    user = store.get(User, stores.add_user(store, "sue", "supervisor", PASSWORD))
    assert user is not None
    idle = dt.timedelta(minutes=1)
    cookie, _ = start_session(store, user, idle)
    for _ in range(30):
        clock.now += dt.timedelta(seconds=10)
        assert find_session(store, cookie, idle)
    clock.now += idle
    assert find_session(store, cookie, idle) is None


def test_a_session_ends_after_twelve_hours_at_log_out_and_with_another_password(store: Store) -> None:
    clock = store.clock = Clock()
    sue = stores.add_user(store, "sue", "supervisor", PASSWORD)
    user = store.get(User, sue)
    assert user is not None
    tokens = [start_session(store, user)[0] for _ in range(2)]
    assert all(find_session(store, token) for token in tokens)
    assert find_session(store, "") is None and find_session(store, "x") is None
    end_session(store, tokens[0])
    assert find_session(store, tokens[0]) is None and find_session(store, tokens[1])
    clock.now += dt.timedelta(hours=12, seconds=1)
    assert find_session(store, tokens[1]) is None
    token, _ = start_session(store, user)
    with store.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(OpenSession)) == 1
    stores.set_password(store, sue, "another password")
    assert find_session(store, token) is None


def test_the_database_holds_no_cookie(store: Store) -> None:
    user = store.get(User, stores.local_user(store))
    assert user is not None
    token, _ = start_session(store, user)
    with store.reading() as session:
        kept = session.scalars(sa.select(OpenSession)).one()
    assert token not in (kept.key, kept.stamp, kept.csrf)


def certificate(folder: Path, name: str = "127.0.0.1") -> ServerSettings:
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=review", "-addext", f"subjectAltName=IP:{name}"]
    try:
        subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed: apt-get install openssl")
    return ServerSettings(certificate=str(cert), key=str(key))


def test_what_is_no_certificate_is_named(tmp_path: Path) -> None:
    good = certificate(tmp_path)
    check_tls(good)
    check_tls(ServerSettings())
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(SettingError, match="both or neither"):
        check_tls(replace(good, key=""))
    with pytest.raises(SettingError, match=r"--tls-cert .*none that can be read"):
        check_tls(replace(good, certificate=str(tmp_path / "gone.pem")))
    with pytest.raises(SettingError, match="belong together"):
        check_tls(replace(good, key=certificate(other).key))
    with pytest.raises(SettingError, match="in PEM"):
        check_tls(replace(good, certificate=__file__))


def test_with_a_certificate_it_answers_by_https_and_the_cookie_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = certificate(tmp_path)
    with serving(tmp_path, monkeypatch, at) as (port, said):
        trust = ssl.create_default_context(cafile=at.certificate)
        plain = socket.create_connection(("127.0.0.1", port))
        with trust.wrap_socket(plain, server_hostname="127.0.0.1") as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 200")
    cookie = next(line for line in answer.splitlines() if line.lower().startswith("set-cookie"))
    assert "; Secure" in cookie and "HttpOnly" in cookie
    assert said[0].startswith(f"review is at https://127.0.0.1:{port}/")


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_the_page_is_shown_upright_with_the_field_outlined(tmp_path: Path, turn: int) -> None:
    """A page as its file holds it, 3000 x 2000, with one dark field; it is shown turned, and smaller."""
    page = np.full((2000, 3000, 3), 255, np.uint8)
    left, top, right, bottom = 300, 200, 900, 320
    page[top:bottom, left:right] = 0
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), page)
    note = PageNote(str(file), 1, 0.9, turn=turn)
    given = FormReading("a", (replace(field("n", box=(left, top, right, bottom)), source=str(file)),), (note,))
    with opened(tmp_path) as store:
        batch = add_batch(store, "b")
        add_forms(store, batch, [given], names={str(file): "scan a.png"})
        found = page_of(store, 1)
    assert found is not None
    shown = picture(found.page)
    box = outline(found, shown)
    assert box is not None
    pixels = cv2.imdecode(np.frombuffer(shown.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels.shape[::-1] == shown.size == ((1400, 933) if turn in (0, 180) else (933, 1400))
    x, y, w, h = (round(v) for v in box)
    assert pixels[y + 3 : y + h - 3, x + 3 : x + w - 3].mean() < 10
    assert pixels.sum() == pytest.approx(255.0 * (pixels.size - w * h), rel=0.01)
    cv2.imwrite(str(file), page[:10])
    picture.__globals__["_picture"].cache_clear()
    with pytest.raises(InputError, match=r"^scan a\.png: is another file"):
        picture(found.page)
    file.unlink()
    with pytest.raises(InputError, match=r"scan a\.png: the page's file is not there"):
        picture(found.page)


@pytest.mark.parametrize("turn", [0, 180])
def test_the_readers_turn_and_box_fit_each_other(tmp_path: Path, telegram: Path, turn: int) -> None:
    """A telegram upside down shows upright, and the outlined field is the one that was read."""
    image = load_page(PageRef(str(telegram / "scan-2.jpg"), 1))
    file = tmp_path / "scan.png"
    cv2.imwrite(str(file), np.rot90(image, turn // 90))
    form = next(Reader(telegram / "template.json", crops=True).read([file]))
    with opened(tmp_path) as store:
        add_batch(store, "b", [form])
        found, crop = page_of(store, 1), crop_of(store, 1)
    assert found is not None and found.page.turn == turn and crop is not None
    shown = picture(found.page)
    box = outline(found, shown)
    assert box is not None
    page = cv2.imdecode(np.frombuffer(shown.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    small = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(small, None, fx=shown.zoom, fy=shown.zoom, interpolation=cv2.INTER_AREA)
    fits = cv2.matchTemplate(page, small, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(fits)
    assert best > 0.9
    assert x <= box[0] + 2 and y <= box[1] + 2
    assert x + small.shape[1] >= box[0] + box[2] - 2 and y + small.shape[0] >= box[1] + box[3] - 2


def test_each_port_has_a_session_of_its_own(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        browser = client(store)
        names = set()
        for port in (8571, 8572):
            names |= set(browser.get(f"http://127.0.0.1:{port}/").cookies)
        assert names == {"inkshift-8571", "inkshift-8572"}


def test_a_database_has_one_server(url: str) -> None:
    store, other = stores.open(url), stores.open(url)
    refused = pytest.raises(SettingError, match="another inkshift review serves it")
    with serve._alone(store), refused, serve._alone(other):
        pass
    with serve._alone(other):
        pass
    store.close()
    other.close()


def test_a_supervisor_shuts_a_keyer_out_at_once_and_lets_them_in_again(store: Store) -> None:
    for name, role in (("sue", "supervisor"), ("ana", "keyer")):
        stores.add_user(store, name, role, PASSWORD)  # type: ignore[arg-type]
    sue, ana = logged_in(store, "sue"), logged_in(store, "ana")
    (keyer,) = (user.id for user in stores.users(store) if user.name == "ana")
    assert ana.get("/").status_code == 200

    def give(browser: TestClient, user: int, password: str) -> int:
        return browser.post(f"/people/{user}/password", data={"csrf": token(browser), "password": password}).status_code

    assert give(ana, keyer, "") == 403, "that is a supervisor's"
    assert give(sue, keyer, "") == 303
    assert ana.get("/").headers["location"] == "/login", "what they had open ends with it"
    assert "shut out" in sue.get("/people").text
    refused = client(store).post("/login", data={"name": "ana", "password": PASSWORD})
    assert refused.status_code == 403
    (herself,) = (user.id for user in stores.users(store) if user.name == "sue")
    assert give(sue, herself, "") == 404, "the last supervisor stays"
    assert give(sue, keyer, "another long password") == 303
    assert client(store).post("/login", data={"name": "ana", "password": "another long password"}).status_code == 303


def test_what_the_server_says_of_itself_is_a_line_of_json_each(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "inkshift", "review", "--db", f"sqlite:///{tmp_path / 'r.db'}", "--port", "0"]
    with subprocess.Popen([*command, "--no-browser"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            begun = re.search(r"127\.0\.0\.1:(\d+)/", process.stderr.readline())
            assert begun
            with socket.create_connection(("127.0.0.1", int(begun[1])), timeout=60) as line:
                line.sendall(b"no request\r\n\r\n")
                assert line.recv(100).startswith(b"HTTP/1.1 400")
        finally:
            process.terminate()
        said = [json.loads(one) for one in process.stderr.read().splitlines()]
    assert [(one["level"], one["message"]) for one in said] == [("warning", "Invalid HTTP request received.")]
    assert dt.datetime.fromisoformat(said[0]["at"]).tzinfo
