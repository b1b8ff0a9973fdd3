"""Take the pictures of review and of the tutorials, from the bundled telegrams: `python docs/pictures.py`.

That of a model that was taught was taken by hand: it needs an hour.
"""

from __future__ import annotations

import io
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import sqlalchemy as sa
import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright
from starlette.datastructures import UploadFile

from inkshift.cli.app import main as main_of_inkshift
from inkshift.datasets.labels import Label
from inkshift.forms.reading import Candidate, FieldReading, FormReading
from inkshift.review import datasets
from inkshift.review.app import Settings, make_app
from inkshift.review.core import queue
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch, add_labels
from inkshift.review.core.schema import Field
from inkshift.review.core.store import Store
from inkshift.review.designer import drafts
from inkshift.review.serve import demo_batch, read_batch

IMAGES = Path(__file__).parent / "images"
TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
PAGES = {
    "review-batches": "/",
    "review-queue": "/batches/1/queue",
    "review-whole": "/batches/1/whole",
    "review-form": "/forms/1",
    "review-confusions": "/batches/1/confusions",
    "review-new-batch": "/new-batch",
    "review-data": "/data/1",
    "review-acceptance": "/batches/2/acceptance?error=2&confidence=95&ask=true",
    "template-designer": "/templates/1",
}
SETTLED = 45


@contextmanager
def answering(folder: Path) -> Iterator[str]:
    """The address of a review of the telegrams, more than half of their fields settled."""
    store = stores.open(f"sqlite:///{folder}/review.db")
    read_batch(store, demo_batch())
    _settle(store)
    datasets.make(store, folder / "files", [1], "Votes")
    _label(store)
    scan = TELEGRAM / "scan-1.jpg"
    drafts.begin(store, folder / "files", "Telegram", UploadFile(io.BytesIO(scan.read_bytes()), filename=scan.name), 1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = make_app(store, Settings(files=folder / "files"))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            store.close()


def _settle(store: Store) -> None:
    with store.reading() as session:
        read = [(field.id, field.readings[-1].value) for field in session.scalars(sa.select(Field).order_by(Field.id))]
    user = stores.local_user(store)
    for field, value in read[:SETTLED]:
        queue.settle(store, user, field, value or "blank", checked=True)


def _label(store: Store) -> None:
    """A batch of drawn readings that are as often right as they are sure, each labelled."""
    rng = np.random.default_rng(5)
    sure = 1 - rng.beta(0.3, 6, 600)
    right = rng.random(600) < sure
    read = [
        FormReading(
            f"f{n:03}", (FieldReading("votes", "17", "17", "written", float(p), (Candidate("17", float(p)),)),), ()
        )
        for n, p in enumerate(sure)
    ]
    batch = add_batch(store, "Sample", read)
    add_labels(
        store,
        batch,
        [Label(f.name, "votes", "17" if ok else "11", "") for f, ok in zip(read, right, strict=True)],
        "register",
    )


def tutorials(folder: Path) -> None:
    """The form that the election's tutorial reads, and digits that the researcher's cuts out."""
    scans, blank = sorted(map(str, TELEGRAM.glob("scan-*.jpg"))), str(TELEGRAM / "blank.png")
    form, found, cut = str(folder / "form"), str(folder / "found.png"), str(folder / "cut")
    known = ["--template", str(TELEGRAM / "template.json"), "--labels", str(TELEGRAM / "labels.csv")]
    for words in (
        ["template", "new", blank, "--out", form],
        ["template", "try", f"{form}/template.json", scans[1], "--out", found],
        ["dataset", "build", *scans, *known, "--out", cut],
    ):
        with suppress(SystemExit):
            main_of_inkshift(words)
    for source, name in ((found, "form"), (f"{cut}/sheets/numbers-1.png", "numbers")):
        picture = Image.open(source).convert("RGB")
        picture.thumbnail((760, 1100))
        picture.save(IMAGES / f"tutorial-{name}.jpg", quality=70, optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tutorials(Path(folder))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, answering(Path(folder)) as address:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(base_url=address, viewport={"width": 1180, "height": 800})
        for name, path in PAGES.items():
            page.goto(path)
            page.wait_for_load_state("networkidle")
            if name == "template-designer":
                page.get_by_role("button", name="Take all that is proposed").click()
                page.locator("[data-at=field-3]").focus()
                page.keyboard.press("Enter")
                page.wait_for_load_state("networkidle")
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            picture.quantize(64).save(IMAGES / f"{name}.png", optimize=True)
            print(IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
