"""Take the pictures of review that the docs show, from the bundled telegrams: `python docs/pictures.py`.

Those of a model that was taught, of acceptance and of the designer were taken by hand: they need labels and work.
"""

from __future__ import annotations

import io
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from inkshift.review import datasets
from inkshift.review.app import Settings, make_app
from inkshift.review.core import queue
from inkshift.review.core import store as stores
from inkshift.review.core.schema import Field
from inkshift.review.core.store import Store
from inkshift.review.serve import demo_batch, read_batch

IMAGES = Path(__file__).parent / "images"
PAGES = {
    "review-batches": "/",
    "review-queue": "/batches/1/queue",
    "review-whole": "/batches/1/whole",
    "review-form": "/forms/1",
    "review-confusions": "/batches/1/confusions",
    "review-new-batch": "/new-batch",
    "review-data": "/data/1",
}
SETTLED = 45


@contextmanager
def answering(folder: Path) -> Iterator[str]:
    """The address of a review of the telegrams, more than half of their fields settled."""
    store = stores.open(f"sqlite:///{folder}/review.db")
    read_batch(store, demo_batch())
    _settle(store)
    datasets.make(store, folder / "files", [(1, "Demo")], "Votes")
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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, answering(Path(folder)) as address:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(base_url=address, viewport={"width": 1180, "height": 800})
        for name, path in PAGES.items():
            page.goto(path)
            page.wait_for_load_state("networkidle")
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            picture.quantize(64).save(IMAGES / f"{name}.png", optimize=True)
            print(IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
