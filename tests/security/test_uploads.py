"""What is taken of a browser's files, and what is not."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.datastructures import UploadFile

from inkshift.errors import InputError
from inkshift.review.web import uploads


def picture(kind: str, size: tuple[int, int] = (40, 30), pages: int = 1) -> bytes:
    file = io.BytesIO()
    more = {"save_all": True, "append_images": [Image.new("L", size)] * (pages - 1)} if pages > 1 else {}
    Image.new("L", size, 200).save(file, kind, **more)
    return file.getvalue()


def upload(content: bytes, name: str = "page.png") -> UploadFile:
    return UploadFile(io.BytesIO(content), filename=name)


KEPT = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp", "PDF": ".pdf"}


@pytest.mark.parametrize(("kind", "ending"), KEPT.items())
def test_a_page_is_kept_under_our_name_with_the_ending_of_its_content(tmp_path: Path, kind: str, ending: str) -> None:
    kept = uploads.take(upload(picture(kind), "../../etc/evil.exe"), tmp_path / "new", "page-1")
    assert kept == tmp_path / "new" / f"page-1{ending}"
    assert kept.read_bytes() == picture(kind) or kind == "PDF"
    assert [p.name for p in (tmp_path / "new").iterdir()] == [kept.name]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "starts with"),
        (b"PK\x03\x04 a zip", "starts with"),
        (picture("PPM"), "starts with"),
        (picture("PNG")[:20], "damaged"),
        (b"%PDF-1.7 and no more", "damaged"),
    ],
)
def test_what_is_no_page_leaves_nothing_and_is_named_as_its_owner_does(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message) as said:
        uploads.take(upload(content, "C:\\scans\\mine.png"), tmp_path, "x")
    assert str(said.value).startswith("mine.png: ") and str(tmp_path) not in str(said.value)
    assert list(tmp_path.iterdir()) == []


def test_bytes_pages_and_pixels_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most, content, message in (
        ("MOST_BYTES", 50, picture("PNG"), "MB"),
        ("MOST_PAGES", 2, picture("TIFF", pages=3), "2 pages, found 3"),
        ("MOST_PIXELS", 1000, picture("TIFF", (30, 50)), "30 x 50"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(uploads, name, most)
            with pytest.raises(InputError, match=message):
                uploads.take(upload(content), tmp_path, "x")
    assert uploads.take(upload(picture("TIFF", pages=3)), tmp_path, "x").name == "x.tif"


@given(st.text(max_size=20).filter(lambda s: not s.isascii() or not s.replace("-", "a").isalnum()))
def test_a_name_with_anything_but_letters_digits_and_dashes_is_refused(stem: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        uploads.take(upload(picture("PNG")), Path("nowhere"), stem)
