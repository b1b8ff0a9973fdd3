"""The web application of review through its pages: what it lets in, what it shows, what comes out."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import openpyxl
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from inkshift.errors import SettingError
from inkshift.forms.reading import FormReading
from inkshift.review.app import AppSettings, make_app
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.queue import decide, settle
from inkshift.review.core.store import Store
from inkshift.review.core.words import CATALOGUES, language
from inkshift.review.keying import views
from inkshift.review.serve import NewBatch, ServerSettings, _begin, first_supervisor, is_local, read_batch, serve
from review_app import PASSWORD, client, logged_in, opened, post, said_as, shown_field, shown_name, token
from review_forms import field, form, many, taken


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as found:
        yield found


def two_forms() -> list[FormReading]:
    broken = field("b", "49", 0.95, rules_broken=("a + b = c: 12 + 49 = 61, but c is 56",))
    return [form("one", field("a", "12", 0.5), broken), form("<two>", field("a", "7", 0.7), field("b", "=1", 0.99))]


@pytest.fixture
def local(store: Store) -> TestClient:
    """A browser on this computer, a batch of two forms there, and no accounts."""
    add_batch(store, "Tables & <more>", two_forms())
    return client(store)


@pytest.fixture
def team(store: Store) -> Store:
    """Two keyers and a supervisor with passwords, and a batch that is keyed twice."""
    for name, role in (("ana", "keyer"), ("ben", "keyer"), ("sue", "supervisor")):
        stores.add_user(store, name, role, PASSWORD)  # type: ignore[arg-type]
    add_batch(store, "twice", two_forms(), double=True)
    return store


BLANKS = re.compile(r"\{(\w*)")
PAGES = ("/", "/batches/1", "/batches/1/queue", "/forms/1", "/batches/1/export", "/batches/1/confusions", "/people")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("code", ["en", "es"])
def test_every_page_shows_and_is_guarded(local: TestClient, path: str, code: str) -> None:
    answer = local.get(path, headers={"Accept-Language": code})
    assert answer.status_code == 200
    assert f'<html lang="{code}">' in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "http://" not in answer.text.replace("http://www.w3.org", "") and "https://" not in answer.text
    assert "style=" not in answer.text and "onclick" not in answer.text and "<more>" not in answer.text


def test_keying_is_offered_while_a_field_waits(store: Store, local: TestClient) -> None:
    tabs = ("/batches/1", "/batches/1/confusions", "/batches/1/acceptance", "/batches/1/export")
    link = 'href="/batches/1/queue"'
    assert all(link in local.get(path).text for path in tabs)
    for number in (1, 2, 3, 4):
        settle(store, stores.local_user(store), number, "12")
    for path in tabs:
        text = local.get(path).text
        assert link not in text and "Nothing to key" in text, path


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(local: TestClient) -> None:
    cookie = local.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie


@pytest.mark.parametrize(
    "path",
    ["/batches/1/decide", "/batches/1/undo", "/fields/1/hold", "/people", "/language", "/forms/1/fields/1/settle"],
)
def test_what_changes_something_needs_the_sessions_token(local: TestClient, path: str) -> None:
    local.get("/")
    data = {"field": "1", "value": "12", "code": "es"}
    assert local.post(path, data=data).status_code == 403
    assert local.post(path, data=data | {"csrf": "guess"}).status_code == 403
    forged = {"X-CSRF-Token": token(local), "Sec-Fetch-Site": "cross-site"}
    assert local.post(path, data=data, headers=forged).status_code == 403


@pytest.mark.parametrize("path", [*PAGES, "/fields/1/page", "/fields/1/page.jpg", "/batches/1/export/csv"])
def test_a_stranger_is_sent_to_log_in(team: Store, path: str) -> None:
    answer = client(team).get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_a_stranger_cannot_decide(team: Store) -> None:
    answer = client(team).post("/batches/1/decide", data={"field": 1, "value": "3"}, headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert views.left(team, 1) == 4


def test_nobody_gets_in_without_accounts_where_they_are_needed(store: Store) -> None:
    assert client(store, AppSettings(accounts=True, hosts=())).get("/").headers["location"] == "/login"


@pytest.mark.parametrize(
    "path", ["/batches/1", "/forms/1", "/batches/1/export/csv", "/batches/1/confusions", "/people"]
)
def test_a_keyer_sees_only_the_queue_so_that_keying_stays_blind(team: Store, path: str) -> None:
    ana = logged_in(team, "ana")
    assert ana.get(path).status_code == 403
    assert "12" not in ana.get("/batches/1/queue").text.split('id="known"')[1].split("<form")[0]


def test_a_wrong_password_does_not_let_in_and_the_tenth_has_to_wait(team: Store) -> None:
    browser = client(team)
    for _ in range(10):
        assert browser.post("/login", data={"name": "ana", "password": "wrong"}).status_code == 403
    assert browser.post("/login", data={"name": "ana", "password": PASSWORD}).status_code == 429


def test_another_password_or_logging_out_ends_the_session(team: Store) -> None:
    ana, sue = logged_in(team, "ana"), logged_in(team, "sue")
    assert ana.get("/").status_code == 200
    stores.set_password(team, next(u.id for u in stores.users(team) if u.name == "ana"), "another password")
    assert ana.get("/").status_code == 303
    assert sue.post("/logout", data={"csrf": token(sue)}).status_code == 303
    assert sue.get("/").status_code == 303


def test_the_first_account_is_a_supervisor_and_the_last_one_stays(store: Store) -> None:
    browser = client(store)
    given = {"csrf": token(browser), "name": "ana", "password": PASSWORD}
    assert browser.post("/people", data=given | {"role": "keyer"}).status_code == 400
    assert browser.post("/people", data=given | {"role": "supervisor"}).status_code == 303
    assert browser.get("/people").headers["location"] == "/login"
    ana = logged_in(store, "ana")
    user = next(u.id for u in stores.users(store) if u.name == "ana")
    assert ana.post(f"/people/{user}/password", data={"csrf": token(ana), "password": ""}).status_code == 404
    assert client(store).get("/").status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fstore.py",
        "/static//etc/passwd",
        "/pages/base.html",
        "/batches/0/queue",
        "/batches/99999999999999999999/queue",
        "/batches/1/export/..%2f..%2fetc",
        "/batches/1/export/pdf",
        "/fields/..%2f1/page.jpg",
        "/forms/77",
        "/openapi.json",
        "/docs",
    ],
)
def test_paths_lead_nowhere_else(local: TestClient, path: str) -> None:
    answer = local.get(path)
    assert answer.status_code in (400, 404)
    assert "import" not in answer.text and "root:" not in answer.text
    assert answer.headers["x-frame-options"] == "DENY"


def test_another_sites_name_and_large_bodies_are_refused(local: TestClient) -> None:
    assert local.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert local.post("/batches/1/decide", content=b"x" * 70_000).status_code == 413


def test_the_broken_rule_comes_first_and_markup_is_shown_as_text(local: TestClient) -> None:
    text = local.get("/batches/1/queue").text
    assert shown_name(text) == ("one", "b")
    assert "12 + 49 = 61" in text
    text = post(local, "/batches/1/decide", field=shown_field(text), value="44")
    text = post(local, "/batches/1/decide", field=shown_field(text), value="12")
    assert shown_name(text) == ("<two>", "a") and "&lt;two&gt;" in text


def test_what_is_no_decision_keeps_the_field(local: TestClient) -> None:
    field_id = shown_field(local.get("/batches/1/queue").text)
    for value in ("", "4a", "９", "-1"):
        text = post(local, "/batches/1/decide", field=field_id, value=value)
        assert shown_field(text) == field_id and "Type the number first" in text
    assert views.left(local.app.state.store, 1) == 4  # type: ignore[attr-defined]


def test_undo_brings_the_field_back(local: TestClient) -> None:
    first = shown_field(local.get("/batches/1/queue").text)
    second = shown_field(post(local, "/batches/1/decide", field=first, value="44"))
    assert second != first
    text = post(local, "/batches/1/undo")
    assert shown_field(text) == first and "Taken back" in text
    assert "nothing to take back" in post(local, "/batches/1/undo")


def test_it_works_without_scripts(local: TestClient) -> None:
    field_id = shown_field(local.get("/batches/1/queue").text)
    answer = local.post("/batches/1/decide", data={"csrf": token(local), "field": field_id, "value": "blank"})
    assert answer.headers["location"] == "/batches/1/queue"
    assert views.left(local.app.state.store, 1) == 3  # type: ignore[attr-defined]


def test_two_keyers_never_get_the_same_field_and_a_third_settles(team: Store) -> None:
    ana, ben, sue = (logged_in(team, name) for name in ("ana", "ben", "sue"))
    first, second = (shown_field(who.get("/batches/1/queue").text) for who in (ana, ben))
    assert first != second
    assert "Somebody else" in post(ben, "/batches/1/decide", field=first, value="1")
    for who, value in ((ana, "3"), (ben, "4")):
        text = who.get("/batches/1/queue").text
        while (field_id := shown_field(text)) is not None:
            text = post(who, "/batches/1/decide", field=field_id, value=value)
    text = sue.get("/batches/1/queue").text
    assert "disagree" in text and "<strong>3</strong> / <strong>4</strong>" in text
    while (field_id := shown_field(text)) is not None:
        text = post(sue, "/batches/1/decide", field=field_id, value="4")
    assert views.left(team, 1) == 0
    assert "ana – ben" in sue.get("/batches/1").text


def test_a_supervisor_settles_any_field_and_the_history_stays(local: TestClient) -> None:
    post(local, "/batches/1/decide", field=2, value="44")
    answer = local.post("/forms/1/fields/2/settle", data={"csrf": token(local), "value": "46"})
    assert answer.headers["location"] == "/forms/1#field-2"
    text = local.get("/forms/1").text
    assert '<strong class="digits">46</strong>' in text and '<span class="digits">44</span>' in text
    other = local.post("/forms/2/fields/2/settle", data={"csrf": token(local), "value": "47"})
    assert other.status_code == 404 and 'digits">47<' not in local.get("/forms/1").text


def test_a_cell_of_the_confusions_opens_its_crops(local: TestClient) -> None:
    post(local, "/batches/1/decide", field=2, value="44")
    assert "Written 4, read as 9: 1" in local.get("/batches/1/confusions").text
    cell = local.get("/batches/1/confusions/cell", params={"truth": "4", "read": "9"})
    assert "one b" in cell.text and "data:image/png" in cell.text
    assert local.get("/batches/1/confusions/cell", params={"truth": "x", "read": "9"}).status_code == 400
    local.post("/forms/1/aside", data={"csrf": token(local), "reason": "scanned again"})
    assert "Written 4, read as 9: 1" not in local.get("/batches/1/confusions").text


@pytest.mark.parametrize(
    ("truth", "read", "pairs"),
    [
        ("44", "49", [("4", "4"), ("4", "9")]),
        ("123", "13", [("1", "1"), ("2", "∅"), ("3", "3")]),
        ("", "7", [("∅", "7")]),
        ("10", "", [("1", "∅"), ("0", "∅")]),
    ],
)
def test_digits_stand_side_by_side(truth: str, read: str, pairs: list[tuple[str, str]]) -> None:
    assert views.aligned(truth, read) == pairs


def test_a_page_that_is_gone_is_said(local: TestClient) -> None:
    assert "cannot be shown" in local.get("/fields/1/page").text
    assert local.get("/fields/1/page.jpg").status_code == 400


def test_the_telegrams_typed_are_what_the_exports_give(store: Store, telegram: Path) -> None:
    with closing(sqlite3.connect(telegram / "labels.sqlite")) as database, database:
        truth = {(f, n): v for f, n, v in database.execute("SELECT form, field, value FROM fields")}
    database.close()
    read_batch(store, NewBatch([str(telegram / f"scan-{i}.jpg") for i in (2, 4)], str(telegram / "template.json")))
    browser = client(store)
    text = browser.get("/batches/1/queue").text
    page = browser.get(f"/fields/{shown_field(text)}/page")
    assert '<rect class="outline"' in page.text
    picture = browser.get(f"/fields/{shown_field(text)}/page.jpg")
    assert picture.headers["content-type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"
    while (field_id := shown_field(text)) is not None:
        text = post(browser, "/batches/1/decide", field=field_id, value=str(truth[shown_name(text)]), seconds="0.8")
    rows = list(csv.DictReader(io.StringIO(browser.get("/batches/1/export/csv").text)))
    assert len(rows) == 26
    assert all(row["decided"] == str(truth[row["form"], row["field"]]) for row in rows)
    lines = [json.loads(line) for line in browser.get("/batches/1/export/jsonl").text.splitlines()]
    assert {line["decided"] for line in lines} == {row["decided"] for row in rows}
    book = openpyxl.load_workbook(io.BytesIO(browser.get("/batches/1/export/xlsx").content))
    assert book["review"].max_row == 27
    assert len(browser.get("/batches/1/export/label-studio").json()) == 26


def test_labels_that_are_there_already_are_one_keyer(store: Store, telegram: Path, tmp_path: Path) -> None:
    """Keyed once they settle their fields; keyed twice, somebody else keys them too."""
    scans, template = [str(telegram / "scan-2.jpg")], str(telegram / "template.json")
    known = tmp_path / "register.csv"
    known.write_text("form,field,value\nT-0002,p01,43\nT-0002,p02,9\nT-9999,p01,1\n")
    said: list[str] = []
    once = _begin(store, NewBatch(scans, template, "once", labels=str(known)), said.append)
    twice = _begin(store, NewBatch(scans, template, "twice", double=True, labels=str(known)), said.append)
    assert said[1] == f"2 fields labelled by {known}; 1 labels fit no field"
    assert (views.left(store, once), views.left(store, twice)) == (11, 13)
    rows = list(csv.DictReader(io.StringIO(client(store).get(f"/batches/{once}/export/csv").text)))
    assert [(r["field"], r["decided"]) for r in rows if r["decided_by"] == "register.csv"] == [
        ("p01", "43"),
        ("p02", "9"),
    ]


def test_others_are_not_let_in_before_there_is_an_account(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="nobody has an account yet"):
        serve(f"sqlite:///{tmp_path / 'a.db'}", None, ServerSettings("0.0.0.0"), demo=False, browser=False, files="")


def test_the_first_supervisor_is_made_without_a_browser_and_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with pytest.raises(SettingError, match="10"):
        first_supervisor(url, "maria", lambda: "short")
    first_supervisor(url, "maria", lambda: PASSWORD)
    first_supervisor(url, "eve", lambda: pytest.fail("nobody is asked where there is an account"))
    store = stores.open(url)
    assert [user.name for user in stores.users(store) if user.password] == ["maria"]
    logged_in(store, "maria")
    store.close()


def test_whether_it_is_well_is_told_to_anybody(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        stores.add_user(store, "sue", "supervisor", PASSWORD)
        browser = client(store)
        answer = browser.get("/health")
        assert (answer.status_code, answer.text, dict(answer.cookies)) == (200, "ok", {})
        answer = browser.get("/ready")
        assert (answer.status_code, answer.text, dict(answer.cookies)) == (200, "ok", {})
        with store.writing() as session:
            session.execute(sa.text("UPDATE alembic_version SET version_num = '0'"))
        answer = browser.get("/ready")
        assert (answer.status_code, browser.get("/health").text) == (503, "ok") and "tables" in answer.text
        store.engine.dispose()
        (tmp_path / "review.db").unlink()
        (tmp_path / "review.db").mkdir()
        answer = browser.get("/ready")
        assert (answer.status_code, browser.get("/health").text) == (503, "ok") and "does not answer" in answer.text


def test_how_much_there_is_to_do_is_told_to_this_computer_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        user = stores.add_user(store, "sue", "supervisor", PASSWORD)
        batch = add_batch(store, "numbers", many(2, 3))
        decide(store, user, taken(store, user, batch).field, "12")
        near, far = (
            TestClient(make_app(store), base_url="http://127.0.0.1:8571", client=(host, 1))
            for host in ("127.0.0.1", "192.0.2.7")
        )
        said = near.get("/metrics").text
        assert "# TYPE inkshift_decisions_total counter\ninkshift_decisions_total 1\n" in said
        assert "\ninkshift_fields_waiting 5\n" in said and "\ninkshift_people 0\n" in said
        proxied = near.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"})
        assert far.get("/metrics").status_code == proxied.status_code == 404


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)]
)
def test_which_addresses_are_this_computers_own(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_every_text_is_there_in_each_language_with_the_same_blanks() -> None:
    english = CATALOGUES["en"]
    for texts in CATALOGUES.values():
        assert texts.keys() == english.keys()
        for key, text in texts.items():
            for said in said_as(text):
                assert said and set(BLANKS.findall(said)) == set(BLANKS.findall(said_as(english[key])[-1])), key
    assert language("", "es-AR,es;q=0.9,en;q=0.8").code == "es"
    assert language("en", "es").code == "en"
    assert language("xx", "de").code == "en"


def test_a_browser_that_drops_what_it_asked_is_no_error(local: TestClient) -> None:
    """htmx asks for the sums anew at each digit, and breaks off what it asked before."""
    said = []

    async def drop() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def answer(message: dict[str, object]) -> None:
        said.append(message.get("status"))

    headers = {"host": "127.0.0.1:8571", "content-type": "application/x-www-form-urlencoded", "content-length": "99"}
    given = {"type": "http", "method": "POST", "path": "/batches/1/whole/check", "query_string": b"", "scheme": "http"}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {**given, "headers": pairs, "client": ("127.0.0.1", 9), "server": ("127.0.0.1", 8571), "root_path": ""}
    asyncio.run(local.app({**scope, "http_version": "1.1"}, drop, answer))  # type: ignore[arg-type]
    assert said[0] == 499
