"""Batches as they are kept: renamed, archived, deleted, added to; their forms searched, filtered and paged."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from inkshift.errors import SettingError
from inkshift.review.app import AppSettings
from inkshift.review.batches import keep
from inkshift.review.batches.keep import EACH, form_list
from inkshift.review.core import queue
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.schema import Decision, Field, Form, Reading, User
from inkshift.review.core.store import Store
from review_app import client, token
from review_forms import TALLY, many, tally

pytest_plugins = ["review_databases"]


def names(store: Store, batch: int, **asked: object) -> list[str]:
    return [row.name for row in form_list(store, batch, **asked).rows]  # type: ignore[arg-type]


def go(browser: TestClient, path: str, **given: object) -> tuple[int, str]:
    answer = browser.post(path, data={"csrf": token(browser), **given})
    return answer.status_code, answer.headers.get("location", answer.text)


def test_forms_are_searched_filtered_and_paged(store: Store) -> None:
    read = [tally("North 1", "001", "002", "3"), tally("north 2", "001", "002", "4"), tally("100% a_b", "1", "1", "2")]
    batch = add_batch(store, "one", read, template=TALLY)
    assert names(store, add_batch(store, "far", [tally("Ñandú", "1", "1", "2")]), text="ÑANDÚ") == ["Ñandú"]
    assert names(store, batch, text="NORTH") == ["North 1", "north 2"]
    assert names(store, batch, text="%") == names(store, batch, text="_") == ["100% a_b"]
    assert names(store, batch, which="broken") == ["north 2"]
    user = stores.local_user(store)
    with store.reading() as session:
        fields = session.scalars(sa.select(Field.id).where(Field.form_id == 1)).all()
    for field, value in zip(fields, ("001", "002", "3"), strict=True):
        queue.settle(store, user, field, value)
    assert names(store, batch, which="settled") == ["North 1"]
    assert len(names(store, batch, which="open")) == 2
    large = add_batch(store, "large", many(EACH + 3, 1))
    first, last = (form_list(store, large, page=page) for page in (1, 99))
    assert (len(first.rows), first.count, first.pages) == (EACH, EACH + 3, 2)
    assert (len(last.rows), last.page) == (3, 2)


def test_a_batch_is_deleted_with_all_in_it_and_the_log_is_closed_again(store: Store) -> None:
    gone = add_batch(store, "gone", many(2, 2))
    stays = add_batch(store, "stays", many(1, 1))
    user = stores.local_user(store)
    for batch in (gone, stays):
        item = queue.next_field(store, user, batch)
        assert item is not None
        queue.decide(store, user, item.field, "7")
    queue.undo(store, user, gone)
    assert keep.goes_with(store, gone) == keep.BatchDeletion(2, 2, False)
    with pytest.raises(SettingError, match="archive it first"):
        keep.delete(store, gone, "gone")
    keep.archive(store, gone, True)
    with pytest.raises(SettingError, match="type its name"):
        keep.delete(store, gone, "stays")
    keep.delete(store, gone, " gone ")
    with store.reading() as session:
        count = [session.scalar(sa.select(sa.func.count()).select_from(t)) for t in (Form, Field, Reading, Decision)]
    assert count == [1, 1, 1, 1]
    with pytest.raises(sa.exc.DBAPIError, match="never changed or deleted"), store.writing() as session:
        session.execute(sa.delete(Decision))


def test_a_batch_is_renamed_and_archived_on_its_page(store: Store, tmp_path: Path) -> None:
    browser = client(store, AppSettings(files=tmp_path / "files"))
    assert "Design a template" in browser.get("/").text, "the first supervisor is told how to begin"
    batch = add_batch(store, "one", many(1, 1))
    add_batch(store, "other")
    status, text = go(browser, f"/batches/{batch}/name", name="other")
    assert status == 400 and "is there already" in text and 'value="other"' in text
    assert go(browser, f"/batches/{batch}/name", name="First")[0] == 303
    assert "First" in browser.get("/").text
    assert go(browser, f"/batches/{batch}/archive", away="true") == (303, "/")
    assert "First" not in browser.get("/").text and "First" in browser.get("/?archived=true").text
    assert "its forms (1), and its decisions with who made them (0)" in browser.get(f"/batches/{batch}").text
    assert go(browser, f"/batches/{batch}/delete", name="x")[0] == 400
    assert go(browser, f"/batches/{batch}/delete", name="First") == (303, "/")
    assert browser.get(f"/batches/{batch}").status_code == 404
    status, text = go(browser, "/batches/2/pages")
    assert status == 400 and "command line" in text


def test_labels_that_are_there_already_are_given_in_the_browser(store: Store) -> None:
    """As the answers of one keyer, called by the file; twice they change nothing, and what is wrong is said."""
    batch = add_batch(store, "twice", [tally("one", "001", "002", "3")], template=TALLY, double=True)
    browser = client(store)
    browser.headers["Accept-Language"] = "es"

    def give(text: str, name: str = "acta.csv") -> tuple[int, str]:
        data, files = {"csrf": token(browser)}, {"file": (name, text.encode())}
        answer = browser.post(f"/batches/{batch}/labels", data=data, files=files)
        return answer.status_code, answer.text

    status, text = give("form,field,value\none,a,001\none,b,002\nnone,a,1\n")
    assert status == 200 and "2 campos etiquetados por acta.csv; 1 de sus filas" in text
    assert "0 campos etiquetados" in give("form,field,value\none,a,001\n")[1]
    with store.reading() as session:
        logged = session.execute(sa.select(Decision.value, User.name).join(Decision.user).order_by(Decision.id)).all()
    assert logged == [("001", "acta.csv"), ("002", "acta.csv")]
    status, text = give("form,value\none,x\n")
    assert status == 400 and "acta.csv:2: un valor solo tiene dígitos" in text and "/tmp" not in text
    assert browser.post(f"/batches/{batch}/labels", data={"csrf": token(browser)}).status_code == 400
