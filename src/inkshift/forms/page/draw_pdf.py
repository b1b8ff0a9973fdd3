"""A process that draws pages of PDFs, so that one which never ends, or eats memory, costs that process and no other.

A script, run by `pdf.py`; it imports nothing of inkshift, so that it starts quickly. On standard input come lines of
JSON: path, page (0: how many are there?), dpi, longest side and most pixels. For each, a line of JSON goes to standard
output: an error, or the count, or the size of the page, followed by its pixels, RGB, 8 bits. Its two words are the
seconds of work that a line may take and the bytes of memory that it all may.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

import pypdfium2 as pdfium

try:
    import resource
except ImportError:  # Windows: the clock of `pdf.py` is the only limit there
    resource = None  # type: ignore[assignment]


class RefusalError(Exception):
    """Why a page is not drawn, as one line."""


def serve(seconds: int, memory: int) -> None:
    """Answer until standard input ends."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = sys.stdout.buffer
    for line in sys.stdin:
        if resource is not None:
            used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
            resource.setrlimit(resource.RLIMIT_CPU, (int(used) + seconds, hard))
        pixels: Any = b""
        try:
            said, pixels = answered(**json.loads(line))
        except RefusalError as e:
            said = {"refused": str(e)}
        except Exception as e:
            said = {"damaged": " ".join(str(e).split()) or type(e).__name__}
        answer.write(json.dumps(said).encode() + b"\n")
        answer.write(pixels)
        answer.flush()


def answered(path: str, page: int, dpi: int, longest: int, most: int) -> tuple[dict[str, Any], Any]:
    """The line for one page of a file, or for their count, and its pixels."""
    pdf = opened(path)
    try:
        if page == 0:
            return {"count": len(pdf)}, b""
        if not 1 <= page <= len(pdf):
            raise RefusalError(f"expected a page from 1 to {len(pdf)}, found page {page}")
        return drawn(pdf, page, dpi, longest, most)
    finally:
        pdf.close()


def opened(path: str) -> pdfium.PdfDocument:
    """By PDFium itself: PdfDocument(path) takes a PDF without pages for a damaged or locked one."""
    handle = pdfium.raw.FPDF_LoadDocument(os.fsencode(path), None)
    if handle:
        return pdfium.PdfDocument(handle)
    code = pdfium.raw.FPDF_GetLastError()
    if code in (pdfium.raw.FPDF_ERR_PASSWORD, pdfium.raw.FPDF_ERR_SECURITY):
        raise RefusalError("expected an open PDF, found one locked by a password; save a copy without it")
    raise ValueError("its structure")


def drawn(pdf: pdfium.PdfDocument, number: int, dpi: int, longest: int, most: int) -> tuple[dict[str, Any], Any]:
    """One page, filled-in form fields included."""
    pdf.init_forms()
    page = pdf[number - 1]
    for picture in page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_IMAGE]):
        width, height = picture.get_px_size()
        if width * height > most:
            raise RefusalError(
                f"expected at most {most // 10**6} megapixels, found {width} x {height} pixels; "
                "scan at fewer dots per inch"
            )
    # Half a pixel less, as the side is rounded up.
    scale = min(dpi / 72, (longest - 0.5) / max(page.get_size()))
    bitmap = page.render(scale=scale, rev_byteorder=True)
    size = {"height": bitmap.height, "width": bitmap.width, "stride": bitmap.stride, "channels": bitmap.n_channels}
    return size, ctypes.string_at(bitmap.buffer, bitmap.stride * bitmap.height)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
