"""Review in a real browser, by keyboard."""

from __future__ import annotations

import re

from inkshift.forms.template import FieldSpec
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.store import Store
from inkshift.review.keying import views
from inkshift.review.serve import demo_batch, read_batch
from review_app import PASSWORD
from review_browser import CHROMIUM, WAIT, answering, chromium, needs_chromium, said, store, sync_api, tab
from review_forms import TALLY, field, form, tally

__all__ = ["CHROMIUM", "WAIT", "chromium", "said", "store"]
REST = 300

pytestmark = needs_chromium


def shown(page: sync_api.Page) -> str:
    return page.locator("#work > section").get_attribute("data-field") or ""


def press(page: sync_api.Page, keys: str, last: str = "Enter") -> str:
    """Type the keys and then one more, and wait for another field; which one."""
    before = shown(page)
    page.wait_for_timeout(REST)
    page.keyboard.type(keys)
    page.keyboard.press(last)
    other = f"#work > section:not([data-field='{before}'])" if before else "#work > section[data-field]"
    page.locator(other).wait_for()
    return shown(page)


def test_the_demo_is_keyed_without_the_mouse(chromium: sync_api.Browser, store: Store, said: list[str]) -> None:
    batch = read_batch(store, demo_batch())
    with answering(store) as address:
        page = tab(chromium, address, said)
        page.goto(f"/batches/{batch}/queue")
        first = shown(page)
        assert page.locator("#known").inner_text().startswith("Read as")
        page.keyboard.press("p")
        page.locator("dialog[open] rect.outline").wait_for()
        page.keyboard.press("Escape")
        second = press(page, "118")
        assert press(page, "", "z") == first
        assert press(page, "119") == second
        page.keyboard.type("4")
        page.keyboard.press("b")
        assert "Delete the digits first" in page.locator("#status").inner_text()
        page.keyboard.press("Backspace")
        for key in ("b", "x", "u", "Enter"):
            press(page, "", key)
        page.close()
    fields = {row.id: row for form in range(1, 7) for row in views.form_page(store, form).form.fields}  # type: ignore[union-attr]
    assert [(step.kind, step.value) for step in fields[int(first)].decisions] == [
        ("key", "118"),
        ("undo", ""),
        ("key", "119"),
    ]
    assert all(step.seconds > 0 for step in fields[int(first)].decisions if step.kind == "key")
    states = sorted(row.state for row in fields.values() if row.status == "settled")
    assert states == ["blank", "crossed-out", "unreadable", "written", "written"]


def test_a_batch_is_keyed_to_its_end_and_enter_alone_never_decides(
    chromium: sync_api.Browser, store: Store, said: list[str]
) -> None:
    add_batch(store, "b", [form("f", field("a", "1"), field("b", "2"))], double=True)
    with answering(store) as address:
        page = tab(chromium, address, said)
        page.goto("/batches/1/queue")
        page.wait_for_timeout(REST)
        page.keyboard.press("Enter")
        assert "Type the number first" in page.locator("#status").inner_text()
        assert "Read as" not in page.locator("#work").inner_text()
        press(page, "1")
        assert press(page, "2") == ""
        assert "All done" in page.locator("#work").inner_text()
        assert press(page, "", "z") != ""
        page.close()
    assert views.left(store, 1) == 2


def test_a_broken_rule_is_said_while_keying_and_asked_once_more(
    chromium: sync_api.Browser, store: Store, said: list[str]
) -> None:
    add_batch(store, "tallies", [tally("f", "001", "002", "3")], template=TALLY)
    with answering(store) as address:
        page = tab(chromium, address, said)
        page.goto("/batches/1/queue")
        first = shown(page)
        page.wait_for_timeout(REST)
        page.keyboard.type("99999999999")
        page.locator("#broken", has_text="11 digits do not fit 3 cells").wait_for()
        page.keyboard.press("Enter")
        page.locator("#ask", has_text="Look at the paper once more").wait_for()
        assert (shown(page), page.input_value("#value")) == (first, "99999999999")
        page.fill("#value", "001")
        assert press(page, "") != first
        press(page, "", "b")
        page.wait_for_timeout(REST)
        page.keyboard.type("3")
        page.keyboard.press("Enter")
        page.locator("#ask", has_text="1 + 0 = 1, but total = 3").wait_for()
        assert press(page, "", "c") == ""
        page.close()
    found = views.form_page(store, 1)
    assert found is not None and [bool(row.decisions[-1].checked) for row in found.form.fields] == [False, False, True]


def test_a_whole_form_is_keyed_without_the_mouse(chromium: sync_api.Browser, store: Store, said: list[str]) -> None:
    batch = read_batch(store, demo_batch())
    with answering(store) as address:
        page = tab(chromium, address, said)
        page.goto(f"/batches/{batch}/whole")
        name = page.locator("h1").inner_text()
        assert page.locator(".sheets .box").count() == 13 and page.locator(".sheets .box.here").count() == 1
        page.keyboard.type("9999")
        page.locator("#sums", has_text="4 digits, expected 1-3").wait_for()
        page.keyboard.press("ControlOrMeta+A")
        page.keyboard.press("Backspace")
        page.locator("#sums .holds").wait_for()
        for _ in range(12):
            page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.labels[0].innerText") == "total"
        page.keyboard.press("Enter")
        page.locator("h1", has_not_text=name).wait_for()
        page.close()
    assert views.left(store, batch) == 5 * 13


def test_a_broken_whole_form_shows_what_breaks_and_is_settled_by_c(
    chromium: sync_api.Browser, store: Store, said: list[str]
) -> None:
    batch = add_batch(store, "tallies", [tally("f", "001", "002", "3")], template=TALLY)
    with answering(store) as address:
        page = tab(chromium, address, said)
        page.set_viewport_size({"width": 1280, "height": 400})
        page.goto(f"/batches/{batch}/whole")
        page.keyboard.press("Enter")
        page.keyboard.type("b")
        page.locator("#sums .fails", has_text="1 = 3 does not hold").wait_for()
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        page.locator("#ask", has_text="1 + 0 = 1, but total = 3").wait_for()
        sync_api.expect(page.get_by_label("total")).to_be_focused()  # the script runs when all of the page is there
        button = page.get_by_role("button", name="I checked the paper").bounding_box()
        assert button is not None and button["y"] + button["height"] < 401
        page.keyboard.press("c")
        page.get_by_role("heading", name="All done").wait_for()
        page.close()
    found = views.form_page(store, 1)
    assert found is not None and [bool(row.decisions[-1].checked) for row in found.form.fields] == [False, False, True]


def test_two_people_at_once_never_get_the_same_field(chromium: sync_api.Browser, store: Store, said: list[str]) -> None:
    stores.add_user(store, "sue", "supervisor", PASSWORD)
    stores.add_user(store, "ana", "keyer", PASSWORD)
    add_batch(store, "b", [form(f"f{i}", field("a"), field("b")) for i in range(2)], double=True)
    with answering(store) as address:
        pages = [tab(chromium, address, said) for _ in range(2)]
        for page, name in zip(pages, ("sue", "ana"), strict=True):
            page.goto("/login")
            page.fill("#name", name)
            page.fill("#password", PASSWORD)
            page.keyboard.press("Enter")
            page.wait_for_url(re.compile(r"/$"))
            page.goto("/batches/1/queue")
        for _ in range(8):
            for page in pages:
                if not shown(page):  # the other one held what was left
                    page.reload()
            if not any(shown(page) for page in pages):
                break
            assert shown(pages[0]) != shown(pages[1])
            for page in pages:
                if shown(page):
                    press(page, "12")
        for page in pages:
            page.close()
    assert views.left(store, 1) == 0
    for number in (1, 2):
        found = views.form_page(store, number)
        assert found is not None
        assert all({step.user.name for step in row.decisions} == {"sue", "ana"} for row in found.form.fields)


def test_each_kind_is_keyed_by_its_own_keys(chromium: sync_api.Browser, store: Store, said: list[str]) -> None:
    """A tick takes one key; in a text, letters are letters, and states come after Esc."""
    kinds = {"mark": "tick", "name": "text", "note": "text", "day": "date", "sum": "decimal"}
    specs = tuple(
        FieldSpec(name=name, box=(40, 40 + 40 * k, 60, 30), kind=kind)  # type: ignore[arg-type]
        for k, (name, kind) in enumerate(kinds.items())
    )
    template = TALLY.model_copy(update={"pages": (TALLY.pages[0].model_copy(update={"fields": specs}),), "rules": ()})
    items = [field(name, "1", 0.1 * k, kind=kind) for k, (name, kind) in enumerate(kinds.items())]
    batch = add_batch(store, "b", [form("f1", *items)], template=template)
    with answering(store) as address:
        page = tab(chromium, address, said)
        page.goto(f"/batches/{batch}/queue")
        press(page, "", "0")
        press(page, "Box 7b, Zoe up")
        page.wait_for_timeout(REST)
        page.keyboard.press("Escape")
        press(page, "", "x")
        press(page, "3.12.2026")
        page.wait_for_timeout(REST)
        page.keyboard.type("12,50")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="All done").wait_for()
        page.close()
    fields = views.form_page(store, 1).form.fields  # type: ignore[union-attr]
    assert {row.name: row.value or row.state for row in fields} == {
        "mark": "0",
        "name": "Box 7b, Zoe up",
        "note": "crossed-out",
        "day": "2026-12-03",
        "sum": "12.50",
    }
