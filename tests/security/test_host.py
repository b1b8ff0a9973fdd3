"""Another site's name that leads here is not answered: its pages could read ours as if they were its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from inkshift.review.app import AppSettings
from inkshift.review.core import store as stores
from inkshift.review.core.store import Store
from inkshift.review.web.security import LOOPBACK
from review_app import PASSWORD, client, opened


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with opened(tmp_path_factory.mktemp("team")) as store:
        stores.add_user(store, "sue", "supervisor", PASSWORD)
        yield store


@pytest.fixture(scope="module")
def browser(team: Store) -> TestClient:
    return client(team, AppSettings(hosts=(*LOOPBACK, "forms.example")))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "forms.example", "FORMS.example"])
@pytest.mark.parametrize("port", ["", ":8571", ":443"])
def test_our_names_are_answered_at_any_port(browser: TestClient, name: str, port: str) -> None:
    assert browser.get("/login", headers={"Host": name + port}).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:8571",
        "forms.example.evil.example",
        "evilforms.example",
        "forms.example@evil.example",
        "evil.example#forms.example",
        "[::1].evil.example",
        "[::1]evil",
        "127.0.0.1.evil.example",
        "127.0.0.1:8571:evil.example",
        "",
        " ",
        "localhost, evil.example",
    ],
)
def test_other_names_are_refused_whatever_is_asked(browser: TestClient, name: str) -> None:
    for method, path in (("GET", "/login"), ("GET", "/static/app.css"), ("POST", "/login")):
        assert browser.request(method, path, headers={"Host": name}).status_code == 400


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"])
def test_no_answer_names_a_host_that_a_header_made_up(browser: TestClient, header: str) -> None:
    """Nor does a page come from another path than the one asked for."""
    answer = browser.get("/people", headers={header: "host=evil.example" if header == "Forwarded" else "evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    said = browser.get("/login", headers={header: "evil.example"})
    assert "evil.example" not in said.text + str(said.headers)
