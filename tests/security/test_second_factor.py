"""A password that somebody learned does not let them in where a second factor is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from inkshift.review.app import AppSettings
from inkshift.review.core import second
from inkshift.review.core import store as stores
from inkshift.review.core.schema import Base
from inkshift.review.core.second import STEP, totp
from inkshift.review.core.store import Store
from inkshift.review.web.access import NAME, access_log
from inkshift.review.web.sessions import PAUSE, TRIES, WAITS
from review_app import PASSWORD, client, logged_in, opened, token
from review_browser import answering, chromium, needs_chromium, said, sync_api, tab  # noqa: F401
from review_forms import Clock

pytest_plugins = ["review_databases"]


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        store.clock = Clock()
        for name, role in (("ana", "keyer"), ("sue", "supervisor"), ("tom", "supervisor")):
            stores.add_user(store, name, role, PASSWORD)  # type: ignore[arg-type]
        yield store


def clock(store: Store) -> Clock:
    assert isinstance(store.clock, Clock)
    return store.clock


def code(store: Store, name: str, later: int = 0) -> str:
    """What the app of somebody shows now, or some steps later."""
    (user,) = (one.id for one in stores.users(store) if one.name == name)
    with store.reading() as session:
        found = session.get_one(second.SecondFactor, user)
    return totp(found.secret, int(store.clock().timestamp()) // STEP + later)


def begun(store: Store, name: str) -> tuple[TestClient, list[str]]:
    """A browser of somebody who has a second factor from now on, and the codes on paper."""
    browser = logged_in(store, name)
    browser.get("/second-factor")
    shown = browser.post("/second-factor", data={"csrf": token(browser), "code": code(store, name)})
    assert shown.status_code == 200, shown.text
    clock(store).now += timedelta(seconds=2 * STEP)
    return browser, re.findall(r"(?:[A-Z2-7]{4} ){3}[A-Z2-7]{4}", shown.text)


def half(store: Store, name: str = "ana", at: str = "testclient") -> TestClient:
    """A browser in which the password was right. at: its address."""
    browser = client(store)
    browser._transport.client = (at, 50_000)  # type: ignore[attr-defined]
    answer = browser.post("/login", data={"name": name, "password": PASSWORD})
    assert answer.headers["location"] == "/login/code"
    return browser


def enter(browser: TestClient, given: str) -> int:
    return browser.post("/login/code", data={"code": given}).status_code


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standard(seconds: int, shown: str) -> None:
    """RFC 6238, appendix B, of whose eight digits apps show the last six."""
    assert totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", seconds // STEP) == shown


def test_the_password_alone_lets_nobody_in(team: Store) -> None:
    begun(team, "ana")
    browser = half(team)
    for path in ("/", "/batches/1/queue", "/second-factor", "/people"):
        assert browser.get(path).headers["location"] == "/login"
    assert enter(browser, "000000") == 403
    assert enter(browser, code(team, "ana")) == 303
    assert "ana" in browser.get("/").text
    assert client(team).get("/login/code").headers["location"] == "/login"


def test_a_code_is_right_once_and_for_a_short_while(team: Store) -> None:
    begun(team, "ana")
    now = code(team, "ana")
    assert enter(half(team), now) == 303
    assert enter(half(team), now) == 403
    assert enter(half(team), code(team, "ana", -1)) == 403, "older than one that was used"
    assert enter(half(team), code(team, "ana", 2)) == 403
    assert enter(half(team), code(team, "ana", 1)) == 303, "a clock that is half a minute fast"


def test_a_code_on_paper_is_right_once_however_it_is_typed(team: Store) -> None:
    _, paper = begun(team, "ana")
    assert len(set(paper)) == second.PAPER
    assert enter(half(team), paper[0].lower().replace(" ", "-")) == 303
    browser = half(team)
    assert enter(browser, paper[0]) == 403
    assert enter(browser, paper[1]) == 303
    assert f"left: {second.PAPER - 2}" in browser.get("/second-factor").text


def test_the_database_holds_no_code(team: Store) -> None:
    _, paper = begun(team, "ana")
    with team.reading() as session:
        held = str([session.execute(sa.select(table)).all() for table in Base.metadata.sorted_tables])
    assert not [one for one in paper if one in held or one.replace(" ", "") in held]


def test_guessing_codes_is_slow_from_however_many_addresses(team: Store) -> None:
    begun(team, "ana")
    browsers = [half(team, at=f"10.0.0.{at}") for at in range(3)]
    answers = [enter(browsers[at % 3], f"{at:06}") for at in range(TRIES + 2)]
    assert answers == [403] * TRIES + [429] * 2
    assert enter(browsers[0], code(team, "ana")) == 429
    clock(team).now += PAUSE + timedelta(seconds=1)
    assert enter(browsers[0], code(team, "ana")) == 303


def test_the_password_counts_for_a_few_minutes(team: Store) -> None:
    begun(team, "ana")
    browser = half(team)
    clock(team).now += WAITS + timedelta(seconds=1)
    assert browser.get("/login/code").headers["location"] == "/login"
    answer = browser.post("/login/code", data={"code": code(team, "ana")})
    assert answer.headers["location"] == "/login"


def test_another_password_ends_what_waits_for_a_code(team: Store) -> None:
    begun(team, "ana")
    browser = half(team)
    stores.set_password(team, 1, "quite another one")
    assert browser.post("/login/code", data={"code": code(team, "ana")}).headers["location"] == "/login"


def test_it_is_asked_for_once_the_app_is_proved_and_all_other_browsers_are_out(team: Store) -> None:
    elsewhere, browser = logged_in(team, "ana"), logged_in(team, "ana")
    assert "data:image/svg" in browser.get("/second-factor").text
    wrong = browser.post("/second-factor", data={"csrf": token(browser), "code": "123"})
    assert wrong.status_code == 400 and "does not fit" in wrong.text
    logged_in(team, "ana")  # not asked for yet
    old = token(browser)
    assert browser.post("/second-factor", data={"csrf": old, "code": code(team, "ana")}).status_code == 200
    assert elsewhere.get("/").headers["location"] == "/login"
    assert browser.get("/").status_code == 200 and token(browser) != old
    secret = browser.get("/second-factor").text
    assert "data:image/svg" not in secret and 'id="secret"' not in secret, "the key is shown no more"
    again = browser.post("/second-factor", data={"csrf": token(browser), "code": code(team, "ana", 1)})
    assert again.headers["location"] == "/second-factor"


def test_an_open_browser_is_not_enough_to_remove_it(team: Store) -> None:
    browser, _ = begun(team, "ana")
    wrong = browser.post("/second-factor/remove", data={"csrf": token(browser), "code": "1"})
    assert wrong.status_code == 403
    browser.post("/second-factor/remove", data={"csrf": token(browser), "code": code(team, "ana")})
    logged_in(team, "ana")


def test_a_supervisor_removes_that_of_others_who_lost_it(team: Store) -> None:
    begun(team, "ana")
    sue, _ = begun(team, "sue")
    assert sue.get("/people").text.count("with second factor") == 2
    for user, status in ((1, 303), (2, 404), (99, 404)):
        assert sue.post(f"/people/{user}/second-factor", data={"csrf": token(sue)}).status_code == status
    logged_in(team, "ana")
    half(team, "sue")


def test_supervisors_must_have_one_where_the_server_says_so(team: Store) -> None:
    settings = AppSettings(second_factor=True)
    boss, keyer = client(team, settings), client(team, settings)
    for browser, name in ((boss, "sue"), (keyer, "ana")):
        assert browser.post("/login", data={"name": name, "password": PASSWORD}).headers["location"] == "/"
    assert keyer.get("/").status_code == 200
    for path in ("/", "/people", "/batches/1/queue"):
        assert boss.get(path).headers["location"] == "/second-factor"
    assert boss.get("/people", headers={"HX-Request": "true"}).headers["hx-redirect"] == "/second-factor"
    shown = boss.get("/second-factor").text
    csrf = re.search(r'name="csrf" value="([^"]+)"', shown)
    assert csrf and "supervisors" in shown
    data = {"csrf": csrf[1], "code": code(team, "sue")}
    assert boss.post("/second-factor", data=data).status_code == 200
    assert boss.get("/people").status_code == 200


def test_who_alone_uses_this_computer_has_none(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert client(store, AppSettings(second_factor=True)).get("/").status_code == 200
        assert client(store).get("/second-factor").status_code == 404


def test_what_happens_with_it_is_kept_and_no_code(team: Store, tmp_path: Path) -> None:
    with access_log(tmp_path / "files"):
        _, paper = begun(team, "ana")
        enter(half(team), "000000")
        enter(half(team), paper[0])
    text = (tmp_path / "files" / NAME).read_text()
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert events == ["logged in", "has a second factor", "wrong code", "logged in"]
    assert "000000" not in text and paper[0] not in text


def test_on_every_database(store: Store) -> None:
    store.clock = Clock()
    user = stores.add_user(store, "ana", "supervisor", PASSWORD)
    second.begin(store, user)
    assert not second.state(store, user).proved and not second.check(store, user, code(store, "ana"))
    paper = second.prove(store, user, code(store, "ana"))
    assert second.state(store, user) == (True, second.PAPER) and second.holders(store) == {user}
    logged_in_with = half(store)
    assert enter(logged_in_with, paper[3]) == 303 and logged_in_with.get("/").status_code == 200
    second.remove(store, user)
    assert second.state(store, user) == (False, 0)


@needs_chromium
def test_in_the_browser(
    team: Store,
    tmp_path: Path,
    chromium: sync_api.Browser,  # noqa: F811
    said: list[str],  # noqa: F811
) -> None:
    """In Spanish: set up with the key that the page shows, then in by the app, then by paper."""
    team.clock = lambda: datetime.now(UTC)
    with answering(team, AppSettings(files=tmp_path / "files")) as address:
        page = tab(chromium, address, said)
        page.set_extra_http_headers({"Accept-Language": "es"})

        def log_in() -> None:
            page.goto("/login")
            page.fill("#name", "sue")
            page.fill("#password", PASSWORD)
            page.keyboard.press("Enter")

        log_in()
        page.get_by_role("link", name="sue").click()
        page.get_by_role("link", name="Segundo factor").click()
        page.get_by_role("img", name="Código QR").wait_for()
        assert page.locator(".qr").evaluate("image => image.complete && image.naturalWidth > 100")
        secret = page.locator("#secret").inner_text().replace(" ", "")
        page.fill("#code", totp(secret, int(team.clock().timestamp()) // STEP))
        page.keyboard.press("Enter")
        paper = page.locator("#paper").inner_text().splitlines()
        page.get_by_role("link", name="Ya los guardé").click()
        page.get_by_role("button", name="Cerrar sesión").click()
        log_in()
        page.get_by_label("Código").fill(totp(secret, int(team.clock().timestamp()) // STEP + 1))
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Cerrar sesión").click()
        log_in()
        page.get_by_label("Código").fill(paper[0])
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Personas").wait_for()
