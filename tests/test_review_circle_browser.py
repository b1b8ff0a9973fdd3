"""The circle in a real browser, by keyboard: a data set, teaching, comparing, switching and going back."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkshift.models.package import NUMBER_MODEL, load_model
from inkshift.review.core import models
from inkshift.review.core.store import Store
from review_circle import ROUND, settled, teacher

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
from test_review_browser import (
    CHROMIUM,
    answering,
    chromium,
    said,
    store,
    sync_api,
    tab,
)

__all__ = ["chromium", "said", "store"]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium: apt-get install chromium")


def follow(page: sync_api.Page, name: str, role: str = "button") -> None:
    """Go to a control with the keyboard and press it."""
    page.get_by_role(role, name=name, exact=False).first.focus()
    page.keyboard.press("Enter")


def test_the_circle_closes(
    chromium: sync_api.Browser,
    store: Store,
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    how = teacher(monkeypatch, tmp_path)
    how("waits")
    settled(store, model=load_model(NUMBER_MODEL).digest, wrong=6)
    with answering(store) as address:
        page = tab(chromium, address, said)
        page.goto("/data")
        page.get_by_label("Cheques").press("Space")
        page.get_by_label("Name of the data set").fill("first")
        follow(page, "Make a data set")
        page.get_by_text("Numbers: 30 of 30").wait_for()
        assert page.locator(".crops img").count() == 30
        page.get_by_label("Value holds").fill("7")
        page.keyboard.press("Enter")
        page.wait_for_url("**/data/1?digits=7*")
        assert 0 < page.locator(".crops img").count() < 30

        follow(page, "Models", "link")
        assert "24 of 30 right: 80.0 %" in page.locator("#advice-1").inner_text()
        follow(page, "Study first whether it pays", "link")
        page.get_by_text("30 settled numbers become a data set").wait_for()
        assert page.get_by_role("button", name="Start the study").is_enabled()
        page.go_back()
        page.get_by_label("Cheques").press("Space")
        page.get_by_label("Name of the new model").fill("mine")
        follow(page, "Teach a model")
        page.get_by_text(f"learning · {ROUND}").wait_for()
        how("worse")
        page.get_by_text("Worse.").wait_for()
        assert page.locator("section.task").count() == 0, "the page was loaded anew when it had ended"

        follow(page, "Use from now on")
        assert page.locator(".now h2").inner_text().endswith("numbers"), "it asks first whether one knows"
        page.get_by_label("I know that it read fewer").press("Space")
        follow(page, "Use from now on")
        page.get_by_role("button", name="Go back to numbers").wait_for()
        assert models.default_folder(store) == str(tmp_path / "review-files" / "models" / "1")
        follow(page, "Go back to numbers")
        page.get_by_role("button", name="Go back to mine").wait_for()
        assert models.default_folder(store) is None
        follow(page, "mine", "link")
        page.get_by_role("heading", name="Compared with numbers").wait_for()
        page.close()
