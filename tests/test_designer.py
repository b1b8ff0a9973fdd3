"""The template designer through its pages: what it takes, keeps, refuses and gives away."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from inkshift.forms.reader import Reader
from inkshift.forms.template import load_template
from inkshift.review.core import store as stores
from inkshift.review.core.schema import Draft
from inkshift.review.core.store import Store
from inkshift.review.designer import drafting, drafts
from inkshift.review.web.security import most_bytes
from review_app import PASSWORD, client, logged_in, opened, token
from review_templates import MARKS, A, B, begun, field, given, local, save, seen, send, sheet


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as found:
        yield found


@pytest.fixture
def browser(store: Store, tmp_path: Path) -> TestClient:
    return local(store, tmp_path)


@pytest.mark.parametrize("code", ["en", "es"])
@pytest.mark.parametrize("path", ["/templates", "/templates/1"])
def test_its_pages_show_and_are_guarded(browser: TestClient, path: str, code: str) -> None:
    begun(browser, 'Form "<b>&')
    answer = browser.get(path, headers={"Accept-Language": code})
    assert answer.status_code == 200 and f'<html lang="{code}">' in answer.text
    assert "<b>" not in answer.text and "style=" not in answer.text
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "http://" not in answer.text and "https://" not in answer.text


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "PDF"])
def test_a_template_begins_with_a_page_and_what_is_proposed_for_it(
    browser: TestClient, store: Store, tmp_path: Path, kind: str
) -> None:
    assert begun(browser, content=sheet(kind)) == "/templates/1"
    draft = store.get(Draft, 1)
    assert draft is not None and len(draft.template["pages"][0]["marks"]) == 4
    offered = drafts.proposed(tmp_path / "files", 1, 1)
    assert [one["cells"] for one in offered["fields"]] == [0, 3]
    picture = browser.get("/templates/1/pages/1.jpg")
    assert picture.headers["content-type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"
    assert browser.get("/templates/1/pages/2.jpg").status_code == 404
    assert sorted(path.name for path in (tmp_path / "files" / "templates" / "1").iterdir()) == [
        "page-1.jpg",
        "proposed-1.json",
    ]


def test_a_page_of_a_file_is_chosen_and_others_are_added_and_dropped(
    browser: TestClient, store: Store, tmp_path: Path
) -> None:
    assert send(browser, "/templates", sheet("PDF", 3), name="Form", page="3")[0] == 303
    assert send(browser, "/templates/1/pages", sheet("TIFF", 2), page="2")[:2] == (303, "/templates/1#page-2")
    assert send(browser, "/templates/1/pages", sheet(marks=False))[0] == 303
    status, _, text = send(browser, "/templates/1/pages", sheet("TIFF", 2), page="3")
    assert status == 400 and "form.png: expected a page from 1 to 2, found page 3" in text
    home = tmp_path / "files" / "templates" / "1"
    third = (home / "page-3.jpg").read_bytes()
    assert send(browser, "/templates/1/pages/2/delete", None)[0] == 303
    assert (home / "page-2.jpg").read_bytes() == third and not (home / "page-3.jpg").exists()
    draft = store.get(Draft, 1)
    assert draft is not None and [page["reference"] for page in draft.template["pages"]] == [
        "page-1-reference.png",
        "page-2-reference.png",
    ]
    assert send(browser, "/templates/1/pages/1/delete", None)[0] == 303
    assert send(browser, "/templates/1/pages/1/delete", None)[0] == 400


@pytest.mark.parametrize(
    ("content", "data", "said"),
    [
        (b"<html>", {"name": "Form"}, "starts with"),
        (sheet()[:60], {"name": "Form"}, "damaged"),
        (sheet(), {"name": "  "}, "needs a name"),
        (sheet(), {"name": "Taken"}, "is there"),
        (sheet(), {"name": "Form", "page": "-1"}, "expected its number"),
        (sheet(), {"name": "Form", "page": "2"}, "from 1 to 1"),
        (None, {"name": "Form"}, "choose a PDF"),
    ],
)
def test_what_is_no_page_begins_nothing(
    browser: TestClient, store: Store, tmp_path: Path, content: bytes | None, data: dict[str, str], said: str
) -> None:
    begun(browser, "Taken")
    status, _, text = send(browser, "/templates", content, "../../../evil.png", **data)
    assert status == 400 and said in text and "/tmp" not in text and "../" not in text
    assert [draft.name for draft in drafts.drafts(store)] == ["Taken"]
    assert [path.name for path in (tmp_path / "files" / "templates").iterdir()] == ["1"]


def test_only_paths_that_take_files_are_sent_much(browser: TestClient) -> None:
    assert most_bytes("/templates") == most_bytes("/templates/12/try") == most_bytes("/templates/1/pages") > 2**26
    assert most_bytes("/templates/1") == 2**20
    for path in ("/templates/1/delete", "/templates/x/try", "/templates/1/try/", "/login", "/people"):
        assert most_bytes(path) == 64 * 1024
    answer = browser.post("/templates", content=b"", headers={"Content-Length": str(2**27)})
    assert answer.status_code == 413


def test_what_changes_something_needs_the_token_and_a_supervisor(store: Store, tmp_path: Path) -> None:
    first = local(store, tmp_path)
    begun(first)
    file: dict[str, Any] = {"files": {"file": ("form.png", sheet())}, "data": {"name": "x"}}
    wanted = {f"/templates{path}": file for path in ("", "/1/pages", "/1/try", "/1/pages/1/delete", "/1/delete")}
    wanted |= {"/templates/1": {"json": given("", A)}}
    for path, body in wanted.items():
        assert first.post(path, headers={"X-CSRF-Token": "guess"}, **body).status_code == 403, path
    assert first.post("/templates", files=file["files"], data={"csrf": "guess"}).status_code == 403
    stores.add_user(store, "sue", "supervisor", PASSWORD)
    stores.add_user(store, "ana", "keyer", PASSWORD)
    keyer = logged_in(store, "ana")
    headers, stranger = {"X-CSRF-Token": token(keyer)}, client(store)
    for path, body in wanted.items():
        assert keyer.post(path, headers=headers, **body).status_code == 403, path
        assert stranger.post(path, **body).headers["location"] == "/login", path
    for path in ("/templates", "/templates/1", "/templates/1/pages/1.jpg", "/templates/1/download"):
        assert keyer.get(path).status_code == 403, path
        assert stranger.get(path).headers["location"] == "/login", path
    assert "/templates" not in keyer.get("/").text
    assert len(drafts.drafts(store)) == 1


def test_a_complete_template_is_a_folder_that_the_reader_takes(browser: TestClient, tmp_path: Path) -> None:
    path = begun(browser)
    said = save(
        browser, path, given(seen(browser, path), A, B, rules=("a <= b", "", ' {"rule": "b = b", "code": "X"} '))
    )
    assert said["problems"] == [] and said["rules"] == ["", ""]
    file = tmp_path / "files" / "templates" / "1" / "template.json"
    template = load_template(file)
    assert [spec.name for spec in template.fields] == ["a", "b"] and template.parsed_rules[1].code == "X"
    assert template.fields[0].max == 99 and template.pages[0].size == (500, 700)
    assert Reader(file).template == template
    with zipfile.ZipFile(io.BytesIO(browser.get("/templates/1/download").content)) as packed:
        assert packed.namelist() == ["template.json", "page-1-reference.png"]
        assert json.loads(packed.read("template.json"))["name"] == "Form"


def test_an_incomplete_one_is_kept_and_the_file_stays_as_it_was_last_complete(
    browser: TestClient, store: Store, tmp_path: Path
) -> None:
    path = begun(browser)
    assert browser.get(f"{path}/download").status_code == 400
    changed = save(browser, path, given(seen(browser, path), A))["changed"]
    file = tmp_path / "files" / "templates" / "1" / "template.json"
    before = file.read_text()
    said = save(browser, path, given(changed, A, A, rules=("a + nothing = 3", "a <= 3")))
    assert "more than one field is called 'a'" in said["problems"][0]
    assert "names the field 'nothing'" in said["rules"][0] and said["rules"][1] == ""
    assert file.read_text() == before
    draft = store.get(Draft, 1)
    assert draft is not None and len(draft.template["pages"][0]["fields"]) == 2
    said = save(browser, path, given(said["changed"], field("", [1, 1, 2, 2]), page={"marks": []}))
    assert any(problem.startswith("field 1") for problem in said["problems"])


def test_a_name_of_blanks_is_refused(browser: TestClient) -> None:
    path = begun(browser)
    body = given(seen(browser, path), A) | {"name": "   "}
    answer = browser.post(path, json=body, headers={"X-CSRF-Token": token(browser)})
    assert answer.status_code == 409 and "needs a name" in answer.text


def test_the_file_goes_where_its_pictures_would_be_of_other_pages(
    browser: TestClient, store: Store, tmp_path: Path
) -> None:
    path = begun(browser)
    assert send(browser, f"{path}/pages", sheet())[0] == 303
    body = given(seen(browser, path), A, rules=("a <= b",))
    body["pages"].append({"marks": MARKS, "lines": [], "fields": [B]})
    assert not save(browser, path, body)["problems"]
    home = tmp_path / "files" / "templates" / "1"
    assert (home / "template.json").is_file()
    assert send(browser, f"{path}/pages/2/delete", None)[0] == 303
    assert not (home / "template.json").exists(), "its rule names a field that is gone"


def test_a_page_is_turned_with_what_is_drawn_on_it(browser: TestClient, store: Store, tmp_path: Path) -> None:
    path = begun(browser)
    save(browser, path, given(seen(browser, path), A, B))
    home = tmp_path / "files" / "templates" / "1"
    before = [json.loads((home / "template.json").read_text())["pages"], (home / "page-1-reference.png").read_bytes()]
    assert send(browser, f"{path}/pages/1/turn", None)[:2] == (303, f"{path}#page-1")
    (page,) = json.loads((home / "template.json").read_text())["pages"]
    assert page["size"] == [700, 500] and [field["box"] for field in page["fields"]] == [
        [460, 100, 40, 80],
        [365, 300, 35, 90],
    ]
    with Image.open(home / "page-1.jpg") as turned, Image.open(home / "page-1-reference.png") as printed:
        assert turned.size == printed.size == (700, 500)
        assert all(turned.getpixel((int(mark["x"]), int(mark["y"]))) < 60 for mark in page["marks"])
    for _ in range(3):
        send(browser, f"{path}/pages/1/turn", None)
    assert json.loads((home / "template.json").read_text())["pages"] == before[0]
    assert send(browser, f"{path}/pages/2/turn", None)[0] == 400


def test_a_page_that_changed_meanwhile_is_not_turned(
    browser: TestClient, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture is worked on while nobody waits for the database; another may turn it first."""
    path = begun(browser)
    real = drafts._proposed_for

    def slowly(image: Any) -> Any:
        monkeypatch.setattr(drafts, "_proposed_for", real)
        assert send(browser, f"{path}/pages/1/turn", None)[0] == 303
        return real(image)

    monkeypatch.setattr(drafts, "_proposed_for", slowly)
    assert send(browser, f"{path}/pages/1/turn", None)[0] == 400
    with Image.open(tmp_path / "files" / "templates" / "1" / "page-1.jpg") as turned:
        assert turned.size == (700, 500)


def test_what_an_older_database_left_is_set_aside(browser: TestClient, tmp_path: Path) -> None:
    old = tmp_path / "files" / "templates" / "1"
    old.mkdir(parents=True)
    (old / "template.json").write_text("{}")
    begun(browser)
    assert not (old / "template.json").exists()
    assert [path.name for path in old.parent.glob("1-before-*/*")] == ["template.json"]


def test_what_another_browser_changed_is_not_written_over(browser: TestClient, store: Store) -> None:
    path = begun(browser)
    first = seen(browser, path)
    save(browser, path, given(first, A))
    answer = browser.post(path, json=given(first, B), headers={"X-CSRF-Token": token(browser)})
    assert answer.status_code == 409 and "meanwhile" in answer.json()["error"]
    begun(browser, "Other")
    renamed = given(seen(browser, path), A, name="Other")
    assert browser.post(path, json=renamed, headers={"X-CSRF-Token": token(browser)}).status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"page": {"reference": "../../secret.png"}},
        {"page": {"size": [9, 9]}},
        {"page": {"fields": [field("a", [0, 0, float(10**9), 9])]}},
        {"pages": []},
        {"name": ""},
        {"rules": ["x" * 5000]},
        {"identity": {"by": "path"}},
        {"folder": "/etc"},
    ],
)
def test_what_a_browser_has_no_say_in_is_refused(browser: TestClient, wrong: dict[str, Any]) -> None:
    path = begun(browser)
    body = given(seen(browser, path), A, **wrong)
    assert browser.post(path, json=body, headers={"X-CSRF-Token": token(browser)}).status_code == 400


def test_a_page_found_by_its_picture_names_the_servers_own(browser: TestClient, tmp_path: Path) -> None:
    path = begun(browser)
    save(browser, path, given(seen(browser, path), A, page={"marks": []}))
    template = load_template(tmp_path / "files" / "templates" / "1" / "template.json")
    assert template.pages[0].reference == "page-1-reference.png"


def test_it_is_tried_on_its_own_page_and_on_others(browser: TestClient) -> None:
    path = begun(browser)
    assert "no field yet" in send(browser, f"{path}/try", None)[2]
    save(browser, path, given(seen(browser, path), A, B))
    own = send(browser, f"{path}/try", None)[2]
    assert "<h3>Form</h3>" in own and own.count("<rect") == 2 and own.count("data:image/png") == 2
    other = send(browser, f"{path}/try", sheet("PDF", 2), "<two>.pdf")[2]
    assert "&lt;two&gt;.pdf, 2" in other and other.count("data:image/jpeg") == 2 and "99 % sure" in other
    blank = io.BytesIO()
    assert "<h3>&lt;two&gt;.pdf</h3>" in other
    assert "starts with" in send(browser, f"{path}/try", b"hello, world", "a.txt")[2]
    Image.new("L", (500, 700), 255).save(blank, "PNG")
    refused = send(browser, f"{path}/try", blank.getvalue(), "blank.png")[2]
    assert "the page is blank" in refused and "/tmp" not in refused


def test_a_template_made_elsewhere_opens(browser: TestClient, store: Store, telegram: Path, tmp_path: Path) -> None:
    """By its file and a scan, which is laid onto it, and by the archive that the designer gives."""

    def send(*paths: Path) -> tuple[int, str]:
        files = [("made", (path.name, path.read_bytes())) for path in paths]
        answer = browser.post("/templates/open", data={"csrf": token(browser)}, files=files)
        return answer.status_code, answer.headers.get("location", answer.text)

    assert "blank.png" in send(telegram / "template.json")[1]
    assert send(telegram / "blank.png", telegram / "template.json")[0] == 303
    drafts.delete(store, tmp_path / "files", 1)
    made = tmp_path / "made.json"
    made.write_text((telegram / "template.json").read_text().replace('"reference": "blank.png",', ""))
    status, text = send(made)
    assert status == 400 and "send a scan of it as well" in text
    broken = tmp_path / "broken.json"
    broken.write_text('{"name": "x", "pagess": []}')
    status, text = send(broken, telegram / "scan-2.jpg")
    assert status == 400 and "unknown key" in text and "/tmp" not in text
    assert send(made, telegram / "scan-2.jpg") == (303, "/templates/1")
    first = store.get(Draft, 1)
    before = load_template(made)
    assert first is not None and first.name == before.name
    assert [field["name"] for field in first.template["pages"][0]["fields"]] == [one.name for one in before.fields]
    assert Image.open(io.BytesIO(browser.get("/templates/1/pages/1.jpg").content)).size == before.pages[0].size
    packed = tmp_path / "packed.zip"
    packed.write_bytes(browser.get("/templates/1/download").content)
    assert send(packed) == (303, "/templates/2")
    second = store.get(Draft, 2)
    assert second is not None and second.name == f"{before.name} (2)"
    assert second.template["pages"] == first.template["pages"] and second.template["rules"] == list(before.rules)


def test_deleting_one_takes_its_folder_along(browser: TestClient, store: Store, tmp_path: Path) -> None:
    begun(browser)
    assert send(browser, "/templates/1/delete", None)[:2] == (303, "/templates")
    assert drafts.drafts(store) == [] and not (tmp_path / "files" / "templates" / "1").exists()
    for path in ("/templates/1", "/templates/1/pages/1.jpg", "/templates/1/download"):
        assert browser.get(path).status_code == 404


_NUMBERS = st.floats(-200, 1000, allow_nan=False)
_FIELDS = st.builds(
    lambda name, box, cells, digits, largest: field(name, list(box), cells, max=largest) | {"digits": list(digits)},
    st.sampled_from(["", "a", "b", "p 1"]),
    st.tuples(_NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS),
    st.integers(0, 20),
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
    st.none() | st.integers(0, 10**6),
)
_RULES = ["a = b", '{"rule": "a <= 3"}', '{"x": [1]}', "{", "a..b = 3"]


@settings(max_examples=60)
@examples(
    st.lists(_FIELDS, max_size=4),
    st.lists(st.text(max_size=20) | st.sampled_from(_RULES), max_size=4),
    st.integers(0, 5),
)
def test_whatever_the_designer_may_send_is_either_complete_or_says_why(
    fields: list[dict[str, Any]], rules: list[str], marks: int
) -> None:
    body = given("", *fields, rules=tuple(rules), page={"marks": [{"x": 1, "y": n, "size": 2} for n in range(marks)]})
    template = drafting.composed("x", {"pages": [{"size": [500, 700]}]}, drafting.DraftTemplate.model_validate(body))
    checked = drafting.check(template)
    assert len(checked.rules) == len([rule for rule in rules if rule.strip()])
    assert all("\n" not in problem for problem in checked.problems)
    if any(checked.rules) or not fields or marks not in (0, 4):
        assert checked.problems
