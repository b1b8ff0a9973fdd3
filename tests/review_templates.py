"""What the tests of the template designer share: a picture of a form, and a browser that begins a template with it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from inkshift.review.app import AppSettings
from inkshift.review.core.store import Store
from review_app import client, token


def sheet(kind: str = "PNG", pages: int = 1, marks: bool = True) -> bytes:
    """A file with pages of four corner marks, a box, and a row of three cells."""
    page = np.full((700, 500), 250, np.uint8)
    for x, y in ((30, 30), (450, 30), (30, 650), (450, 650)) if marks else ():
        page[y : y + 20, x : x + 20] = 10
    cv2.rectangle(page, (100, 200), (180, 240), (20,), 2)
    for i in range(3):
        cv2.rectangle(page, (300 + 30 * i, 300), (330 + 30 * i, 335), (20,), 2)
    picture, file = Image.fromarray(page), io.BytesIO()
    more = {"save_all": True, "append_images": [picture] * (pages - 1)} if pages > 1 else {}
    picture.save(file, kind, **more)
    return file.getvalue()


def local(store: Store, folder: Path) -> TestClient:
    """A browser on this computer; uploads go to `folder/files`."""
    return client(store, AppSettings(files=folder / "files"))


def send(
    browser: TestClient, path: str, content: bytes | None, called: str = "form.png", **data: str
) -> tuple[int, str, str]:
    """Post a file; the status, where it leads, and the text."""
    files = {} if content is None else {"file": (called, content)}
    answer = browser.post(path, data=data | {"csrf": token(browser)}, files=files or None)
    return answer.status_code, answer.headers.get("location", ""), answer.text


def begun(browser: TestClient, name: str = "Form", content: bytes | None = None) -> str:
    """Begin a template; its address."""
    status, where, text = send(browser, "/templates", sheet() if content is None else content, name=name)
    assert status == 303, text
    return where


def field(name: str, box: list[float], cells: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "box": box, "cells": cells, "digits": [0, cells] if cells else [1, 3], **more}


MARKS = [{"x": x, "y": y, "size": 20} for x, y in ((40, 40), (460, 40), (40, 660), (460, 660))]
A, B = field("a", [100, 200, 80, 40], max=99), field("b", [300, 300, 90, 35], 3)


def given(seen: str, *fields: dict[str, Any], rules: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """A template as the designer sends it."""
    page = {"marks": MARKS, "lines": [], "fields": list(fields)} | more.pop("page", {})
    return {
        "name": "Form",
        "pages": [page],
        "identity": {"by": "file"},
        "rules": list(rules),
        "seen": seen,
    } | more


def save(browser: TestClient, path: str, body: dict[str, Any]) -> Any:
    answer = browser.post(path, json=body, headers={"X-CSRF-Token": token(browser)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def seen(browser: TestClient, path: str) -> str:
    found = re.search(r"&#34;changed&#34;: &#34;(.*?)&#34;", browser.get(path).text)
    assert found
    return found[1]
