"""The bundled pages in an S3-compatible store on this machine. For `scale`."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"


@contextmanager
def served() -> Iterator[str]:
    """The address of a bucket with the bundled pages, by moto's server in a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        own = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}
        own["ENDPOINT_URL"] = f"http://127.0.0.1:{here.recv()}"
        os.environ |= {f"AWS_{name}": value for name, value in own.items()}
        import fsspec

        store = fsspec.filesystem("s3")
        store.mkdir("scans")
        for file in TELEGRAM.glob("scan-*.jpg"):
            store.pipe(f"scans/{file.name}", file.read_bytes())
        yield "s3://scans"
    finally:
        process.kill()
        process.join()


def _serve(port: Connection) -> None:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    port.send(server.get_host_and_port()[1])
    port.recv()
