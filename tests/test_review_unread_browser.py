"""A page that was not read is laid by hand in a real browser, by mouse and by keyboard."""

from __future__ import annotations

from pathlib import Path

from inkshift.forms.page.files import PageRef, load_page
from inkshift.review.core.store import Store
from inkshift.review.core.undone import undone
from inkshift.review.keying import views
from review_browser import answering, chromium, needs_chromium, said, store, sync_api, tab
from test_review_unread import refused

__all__ = ["chromium", "said", "store"]

pytestmark = needs_chromium


def test_corners_are_dragged_until_the_fields_lie_right(
    chromium: sync_api.Browser, store: Store, said: list[str], telegram: Path, tmp_path: Path
) -> None:
    batch, path, corners = refused(store, telegram, tmp_path)
    zoom = 1400 / max(load_page(PageRef(str(path), 1)).shape[:2])
    with answering(store) as address:
        page = tab(chromium, address, said)
        page.set_viewport_size({"width": 1280, "height": 1400})
        page.goto(f"/batches/{batch}")
        page.get_by_role("link", name="Mend").click()
        page.wait_for_url("**/pages/*")
        page.wait_for_load_state()  # the style sheet says how large the page is shown
        handles = page.locator("#sheet .handle")
        scale = page.evaluate("document.getElementById('sheet').getScreenCTM().a")
        offset = page.evaluate("(m => [m.e, m.f])(document.getElementById('sheet').getScreenCTM())")
        for k, (x, y) in enumerate(corners * zoom):
            box = handles.nth(k).bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.mouse.down()
            page.mouse.move(offset[0] + scale * x, offset[1] + scale * y, steps=4)
            page.mouse.up()
        before = page.input_value("[name=corners]")
        handles.first.focus()
        page.keyboard.press("ArrowLeft")
        assert page.input_value("[name=corners]") != before
        page.keyboard.press("ArrowRight")
        assert page.locator("#sheet .field").count() == 13
        page.get_by_role("button", name="Read it like this").click()
        page.wait_for_url("**/forms/1")
        page.close()
    found = views.form_page(store, 1)
    assert found is not None and found.form.name == "T-0002" and not found.broken
    assert found.form.fields[-1].readings[-1].value == "280"
    assert len(undone(store, batch)) == 0
