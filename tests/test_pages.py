"""Pages out of files: every format as upright 8-bit pixels, every bad file as one InputError."""

from __future__ import annotations

import io
import pathlib
import pickle
import re
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inkshift import pictures
from inkshift.errors import InputError
from inkshift.forms.page import pdf as drawing
from inkshift.forms.page.files import PageRef, _natural, find_files, load_page, page_refs

GRAY = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
COLOUR = np.dstack([GRAY, GRAY[:, ::-1], np.full_like(GRAY, 90)])
CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
ONE_KID = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 36]"


def only(path: Path, dpi: int = 200) -> npt.NDArray[np.uint8]:
    (ref,) = page_refs(path)
    return load_page(ref, dpi)


def refused(read: Callable[[Path], object], path: Path, *words: str) -> None:
    """Reading raises one line that names the file, says what was wrong, and warns of nothing."""
    with warnings.catch_warnings(), pytest.raises(InputError) as caught:
        warnings.simplefilter("error")
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ")
    assert "\n" not in message
    for word in words:
        assert word in message


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pdf(objects: list[bytes], trailer: bytes = b"") -> bytes:
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    size = len(objects) + 1
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer\n<</Size %d/Root 1 0 R%b>>\nstartxref\n%d\n%%%%EOF" % (size, trailer, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table) + end


def picture_pdf(width: int, height: int, data: bytes) -> bytes:
    """A page of 72 x 36 points filled by one bilevel picture."""
    picture = b"<</Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent 1" % (width, height)
    stream = b"/ColorSpace/DeviceGray/Filter/FlateDecode/Length %d>>stream\n%b\nendstream" % (len(data), data)
    page = PAGE + b"/Resources<</XObject<</I 4 0 R>>>>/Contents 5 0 R>>"
    draw = b"<</Length 26>>stream\nq 72 0 0 36 0 0 cm /I Do Q\nendstream"
    return pdf([CATALOG, ONE_KID, page, picture + stream, draw])


class TestFindFiles:
    def test_folder_gives_images_and_pdfs_in_natural_order(self, tmp_path: Path) -> None:
        names = ["page-10.png", "page-2.PNG", "page-1.tiff", "sub/3.pdf", "sub/deep/1.jpeg"]
        for name in [*names, "notes.txt", ".hidden.png", ".cache/thumb.png", "sub/.DS_Store"]:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        expected = ["page-1.tiff", "page-2.PNG", "page-10.png", "sub/3.pdf", "sub/deep/1.jpeg"]
        assert list(find_files([tmp_path])) == [tmp_path / name for name in expected]

    def test_files_stay_as_given_and_each_comes_once(self, tmp_path: Path) -> None:
        for name in ("b.png", "a.png", "form.dat"):
            (tmp_path / name).touch()
        as_given: list[str | Path] = [str(tmp_path / "form.dat"), tmp_path / "b.png", tmp_path]
        assert list(find_files(as_given)) == [tmp_path / name for name in ("form.dat", "b.png", "a.png")]

    def test_a_long_list_is_not_held(self) -> None:
        """Beside the names that the interpreter itself keeps (pathlib), for which its table may grow."""
        tracemalloc.start()
        files = find_files(f"/scans/district-1/polling-station-{k:07}.jpg" for k in range(20_000))
        held = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
        tracemalloc.stop()
        assert next(iter(files)).name == "polling-station-0000000.jpg" and len(files) == 20_000
        assert sum(trace.size for trace in held.traces) < 100_000, "a list alone takes 160,000"

    def test_missing_path_and_folder_without_pages(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").touch()
        refused(lambda path: find_files([path]), tmp_path / "nowhere")
        refused(lambda path: find_files([path]), tmp_path, "in this folder, found none")

    @given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True))
    def test_numbers_in_names_sort_as_numbers(self, numbers: list[int]) -> None:
        paths = [Path(f"scan {n}.png") for n in numbers]
        assert sorted(paths, key=_natural) == [Path(f"scan {n}.png") for n in sorted(numbers)]

    @given(st.lists(st.text("aB²٣1290-./", max_size=12).map(Path), max_size=10))
    def test_order_does_not_depend_on_the_order_found(self, paths: list[Path]) -> None:
        backwards = paths[::-1]
        assert sorted(paths, key=_natural) == sorted(backwards, key=_natural)

    def test_a_folder_is_read_by_content_and_what_is_left_out_is_known(self, tmp_path: Path) -> None:
        for name, kind in {"a.jfif": "JPEG", "b": "PNG", "c.webp": "WEBP", "d.dat": "TIFF", "e.bmp": "BMP"}.items():
            Image.fromarray(GRAY).save(tmp_path / name, kind)
        Image.fromarray(GRAY).save(tmp_path / "f", "PDF")
        (tmp_path / "g.psd").write_bytes(b"8BPS")  # a picture to people: it is tried, and named
        for name in ("notes.txt", "list.csv", "Thumbs.db"):
            (tmp_path / name).write_text("form")
        names = ["a.jfif", "b", "c.webp", "d.dat", "e.bmp", "f", "g.psd"]
        found = find_files([tmp_path, tmp_path / "b"])
        assert list(found) == [tmp_path / name for name in names]
        assert found.passed_over == [tmp_path / "list.csv", tmp_path / "notes.txt"]


class TestFormats:
    @pytest.mark.parametrize("kind", ["WEBP", "BMP", "GIF"])
    def test_other_pictures_are_read(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "picture"
        Image.fromarray(GRAY).save(path, kind, **({"lossless": True} if kind == "WEBP" else {}))
        page = only(path)
        np.testing.assert_array_equal(page if page.ndim == 2 else page[..., 0], GRAY)

    def test_a_photograph_of_a_phone_lies_upright(self, tmp_path: Path) -> None:
        pillow_heif = pytest.importorskip("pillow_heif")
        lying = np.full((64, 96, 3), 255, np.uint8)
        lying[:, :24] = 0  # dark on the left: at the top, once turned clockwise
        exif = Image.Exif()
        exif[0x0112] = 6
        photo = pillow_heif.from_pillow(Image.fromarray(lying))
        photo.save(tmp_path / "IMG_1.HEIC", quality=90, exif=exif.tobytes())
        page = only(tmp_path / "IMG_1.HEIC")
        assert page.shape == (96, 64, 3)
        assert page[:16].max() < 60 < 200 < page[40:].min()

    @pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "group4"])
    @pytest.mark.parametrize("tag", [270, 278, 282, 284, 296, 305])
    @pytest.mark.parametrize(
        "wrong", [(0, 1, 1), (2, 1, 1), (5, 1, 1), (3, 0xFFFFFFF0, 1), (4, 1, 0xFFFFFFF0), (12, 5, 8)]
    )
    def test_wrong_tags_do_not_cost_the_picture(
        self, tmp_path: Path, compression: str, tag: int, wrong: tuple[int, int, int]
    ) -> None:
        path, mode = tmp_path / "a.tif", "1" if compression == "group4" else "L"
        Image.fromarray(GRAY).convert(mode).save(
            path, compression=compression, dpi=(200, 200), description="x", software="y"
        )
        right, data = only(path), bytearray(path.read_bytes())
        (place,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, place)
        (at,) = (e for e in range(place + 2, place + 2 + 12 * count, 12) if struct.unpack_from("<H", data, e) == (tag,))
        struct.pack_into("<HII", data, at + 2, *wrong)
        path.write_bytes(data)
        np.testing.assert_array_equal(only(path), right)

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
    def test_a_huge_page_is_shrunk_by_a_whole_number(
        self, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pictures, "KEPT_PIXELS", 600)
        exif = Image.Exif()
        exif[0x0112] = 6
        path = tmp_path / "a.tif"
        half = Image.new("L", (60, 40), 255)
        half.paste(0, (0, 0, 30, 40))
        (Image.fromarray(np.asarray(half).astype(np.uint16) * 257) if mode == "I;16" else half.convert(mode)).save(
            path, exif=exif
        )
        page = only(path)
        assert page.shape[:2] == (30, 20)
        assert page[:15].max() == 0 and page[15:].min() == 255

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.dat"])
    def test_lossless_gray_and_colour(self, tmp_path: Path, name: str) -> None:
        kind = "TIFF" if name.endswith("tif") else "PNG"
        for pixels in (GRAY, COLOUR):
            Image.fromarray(pixels).save(tmp_path / name, kind)
            page = only(tmp_path / name)
            assert page.dtype == np.uint8
            np.testing.assert_array_equal(page, pixels)
            page[0, 0] = 0

    def test_jpeg(self, tmp_path: Path) -> None:
        Image.fromarray(COLOUR).save(tmp_path / "a.jpg", quality=95)
        Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
        for name in ("a.jpg", "cmyk.jpg"):
            np.testing.assert_allclose(only(tmp_path / name).astype(int), COLOUR, atol=20)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_transparency_lies_on_white(self, tmp_path: Path, mode: str) -> None:
        image = Image.new(mode, (4, 2), (0,) * len(mode))
        image.putpixel((1, 1), (0, 255) if mode == "LA" else (0, 0, 0, 255))
        image.save(tmp_path / "a.png")
        page = only(tmp_path / "a.png")
        expected = np.full((2, 4), 255)
        expected[1, 1] = 0
        np.testing.assert_array_equal(page, expected if mode == "LA" else np.dstack([expected] * 3))

    def test_palette_with_and_without_a_transparent_colour(self, tmp_path: Path) -> None:
        image = Image.new("P", (2, 1))
        image.putpalette([200, 10, 20, 30, 40, 50])
        image.putpixel((1, 0), 1)
        image.save(tmp_path / "a.png")
        image.save(tmp_path / "b.png", transparency=0)
        assert only(tmp_path / "a.png").tolist() == [[[200, 10, 20], [30, 40, 50]]]
        assert only(tmp_path / "b.png").tolist() == [[[255, 255, 255], [30, 40, 50]]]

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_16_bits_scale_by_their_range(self, tmp_path: Path, name: str) -> None:
        Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16)).save(tmp_path / name)
        assert only(tmp_path / name).tolist() == [[0, 1, 128, 255]]

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    @pytest.mark.parametrize("bits", [10, 12, 14, 16])
    def test_fewer_bits_in_16_scale_by_those_that_are_used(self, tmp_path: Path, name: str, bits: int) -> None:
        paper = np.random.default_rng(bits).integers(150, 240, (30, 40))
        paper[10:20, 10:20] = 5
        Image.fromarray((paper * (2**bits / 256)).astype(np.uint16)).save(tmp_path / name)
        np.testing.assert_allclose(only(tmp_path / name).astype(int), paper, atol=1)

    @pytest.mark.parametrize("times", [1, 256, 257])
    def test_dark_pictures_of_16_bits_stay_dark(self, tmp_path: Path, times: int) -> None:
        dark = np.random.default_rng(times).integers(0, 14, (30, 40)) * times
        Image.fromarray(dark.astype(np.uint16)).save(tmp_path / "a.png")
        assert only(tmp_path / "a.png").max() < 14

    def test_32_bits_and_floats_scale_by_their_maximum(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[0, 600_000, 1_000_000]], np.int32)).save(tmp_path / "big.tif")
        Image.fromarray(np.array([[0, 100, 200]], np.int32)).save(tmp_path / "small.tif")
        Image.fromarray(np.array([[0, 0.6, 1]], np.float32)).save(tmp_path / "float.tif")
        assert only(tmp_path / "big.tif").tolist() == [[0, 153, 255]]
        assert only(tmp_path / "small.tif").tolist() == [[0, 100, 200]]
        assert only(tmp_path / "float.tif").tolist() == [[0, 153, 255]]

    def test_bilevel_tiff_of_several_pages(self, tmp_path: Path) -> None:
        path = tmp_path / "fax.tif"
        frames = [Image.new("1", (20 + i, 10), 1) for i in range(3)]
        frames[2].putpixel((4, 5), 0)
        frames[0].save(path, save_all=True, append_images=frames[1:], compression="group4")
        refs = page_refs(path)
        assert refs == [PageRef(str(path), n, count=3) for n in (1, 2, 3)]
        pages = [load_page(ref) for ref in refs]
        assert [page.shape for page in pages] == [(10, 20), (10, 21), (10, 22)]
        assert np.argwhere(pages[2] == 0).tolist() == [[5, 4]]
        assert np.unique(pages[2]).tolist() == [0, 255]
        refused(lambda p: load_page(PageRef(str(p), 4)), path, "1 to 3", "page 4")

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
    @pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
    def test_exif_rotation(self, tmp_path: Path, name: str, orientation: int, turns: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(GRAY).save(tmp_path / name, exif=exif)
        page = only(tmp_path / name).astype(int)
        np.testing.assert_allclose(page, np.rot90(GRAY, turns), atol=6 if name == "a.jpg" else 0)

    def test_page_ref_travels_between_processes(self) -> None:
        assert pickle.loads(pickle.dumps(PageRef("a.pdf", 3))) == PageRef("a.pdf", 3)


class TestPdf:
    def test_pages_are_drawn_at_the_resolution_asked_for(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pdf"
        images = [Image.new("RGB", (72, 36), colour) for colour in ("red", "blue")]
        images[0].save(path, save_all=True, append_images=images[1:], resolution=72, quality=95)
        refs = page_refs(path)
        assert [ref.page for ref in refs] == [1, 2]
        red, blue = (load_page(ref, dpi=144) for ref in refs)
        assert red.shape == blue.shape == (72, 144, 3)
        np.testing.assert_allclose(red[30, 30].astype(int), (255, 0, 0), atol=4)
        np.testing.assert_allclose(blue[30, 30].astype(int), (0, 0, 255), atol=4)
        refused(lambda p: load_page(PageRef(str(p), 3)), path, "1 to 2")

    def test_no_side_exceeds_6000_pixels(self, tmp_path: Path) -> None:
        path = tmp_path / "long.pdf"
        path.write_bytes(pdf([CATALOG, ONE_KID, PAGE.replace(b"72 36", b"9999 7") + b">>"]))
        assert only(path, dpi=300).shape == (5, 6000, 3)

    def test_picture_in_a_pdf(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pdf"
        path.write_bytes(picture_pdf(8, 1, zlib.compress(b"\x0f")))
        page = only(path, dpi=72)
        assert page.shape == (36, 72, 3)
        assert page[:, 5].max() < 60 < 200 < page[:, 66].min()

    def test_locked_empty_or_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pdf"
        lock = b"<</Filter/Standard/V 1/R 2/O<%b>/U<%b>/P -4>>" % (b"ab" * 32, b"cd" * 32)
        path.write_bytes(pdf([CATALOG, ONE_KID, PAGE + b">>", lock], b"/Encrypt 4 0 R/ID[<00><00>]"))
        refused(page_refs, path, "password", "save a copy without it")
        refused(lambda p: load_page(PageRef(str(p), 1)), path, "password")
        path.write_bytes(pdf([CATALOG, b"<</Type/Pages/Kids[]/Count 0>>"]))
        refused(page_refs, path, "at least one page, found none")
        path.write_bytes(b"%PDF-1.7\n%cut off here")
        refused(page_refs, path, "damaged")

    def test_more_pages_than_a_file_can_hold(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pdf"
        path.write_bytes(pdf([CATALOG, ONE_KID.replace(b"Count 1", b"Count 100000"), PAGE + b">>"]))
        refused(page_refs, path, "at most 200 pages", "found 100,000")

    def test_a_page_without_end_costs_only_itself(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A form that draws itself twice: the process that draws it is ended, and the next file has another."""
        monkeypatch.setattr(drawing, "_SECONDS", 2)
        head = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F %d 0 R>>>>/Length 12>>"
        forms = [head % min(n + 1, 44) + b"stream\n/F Do /F Do \nendstream" for n in range(4, 45)]
        page = PAGE + b"/Resources<</XObject<</F 4 0 R>>>>/Contents 45 0 R>>"
        endless, fine = tmp_path / "endless.pdf", tmp_path / "fine.pdf"
        endless.write_bytes(pdf([CATALOG, ONE_KID, page, *forms, b"<</Length 5>>stream\n/F Do\nendstream"]))
        fine.write_bytes(picture_pdf(8, 1, zlib.compress(b"\x0f")))
        refused(only, endless, "page 1 that is drawn within")
        assert only(fine, dpi=72).shape == (36, 72, 3)

    def test_bomb_inside_a_pdf(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.pdf"
        path.write_bytes(picture_pdf(50_000, 50_000, zlib.compress(bytes(1000))))
        refused(only, path, "120 megapixels", "50000 x 50000")


class TestBadFiles:
    @pytest.mark.parametrize("read", [page_refs, lambda path: load_page(PageRef(str(path), 1))])
    def test_what_is_no_page_at_all(self, tmp_path: Path, read: Callable[[Path], object]) -> None:
        path = tmp_path / "a.png"
        refused(read, path, "found nothing")
        path.touch()
        refused(read, path, "empty file")
        path.write_text("total: 57")
        refused(read, path, "starts with 'total: 5'")
        Image.new("L", (3, 3)).save(path, "PPM")
        refused(read, path, "starts with 'P5")
        refused(read, tmp_path, "found a folder")

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    def test_cut_off_anywhere(self, tmp_path: Path, kind: str) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (64, 48), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, kind)
        whole = buffer.getvalue()
        path = tmp_path / "a.png"
        for length in (len(whole) - 40, len(whole) // 2, len(whole) // 4):
            path.write_bytes(whole[:length])
            refused(only, path, "cut-off")
        path.write_bytes(whole[:12])
        refused(page_refs, path, "cut-off")

    def test_damaged_pixels(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(png(40, 40, bytes(41 * 40)).replace(zlib.compress(bytes(41 * 40))[2:9], b"\xff" * 7))
        refused(only, path, "damaged")

    @pytest.mark.parametrize("size", [(12_000, 11_000), (100_000, 100_000)])
    def test_bomb_is_refused_by_its_header(self, tmp_path: Path, size: tuple[int, int]) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(png(*size))
        refused(page_refs, path, "at most 120 megapixels", "found 1", "pixels")
        refused(lambda p: load_page(PageRef(str(p), 1)), path, "at most 120 megapixels")

    @pytest.mark.parametrize("size", [(90, 524_336), (40, 131_102), (60_000, 900), (3_000, 20)])
    def test_no_side_is_too_long(self, tmp_path: Path, size: tuple[int, int]) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(png(*size))
        refused(page_refs, path, "at most 100 times the other", f"{size[0]} x {size[1]}")
        refused(lambda p: load_page(PageRef(str(p), 1)), path, "at most 100 times the other")

    @given(
        st.binary(max_size=200),
        st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"%PDF-1.4"]),
    )
    def test_any_bytes_give_pages_or_input_error(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "fuzz.bin"
        path.write_bytes(start + data)
        try:
            page = only(path)
        except InputError as e:
            assert str(e).startswith(f"{path}: ")
        else:
            assert page.dtype == np.uint8


def test_threads_may_read_pdfs_at_once(tmp_path: Path) -> None:
    """In a process of its own: two threads in PDFium at once would end it."""
    files = [tmp_path / f"{k}.pdf" for k in range(4)]
    for file in files:
        Image.fromarray(COLOUR).save(file, "PDF", save_all=True, append_images=[Image.fromarray(COLOUR)] * 3)
    script = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from inkshift.forms.page.files import load_page, page_refs
def read(path):
    return sum(load_page(ref).size for ref in page_refs(Path(path)))
with ThreadPoolExecutor(8) as pool:
    sizes = list(pool.map(read, sys.argv[1:] * 12))
assert len(sizes) == 48 and len(set(sizes)) == 1
"""
    done = subprocess.run([sys.executable, "-c", script, *map(str, files)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


READ_FORMS = Path(__file__).parents[1] / "docs" / "read-forms.md"
PICTURES: dict[str, tuple[str, dict[str, object]]] = {
    "gray.png": ("L", {}),
    "colour.png": ("RGB", {}),
    "alpha.png": ("RGBA", {}),
    "clear.png": ("P", {"transparency": 3}),
    "turned.png": ("RGBA", {"turned": True}),
    "deep.png": ("I;16", {}),
    "float.tif": ("F", {}),
    "bits.tif": ("1", {"compression": "group4"}),
    "inks.tif": ("CMYK", {"compression": "tiff_lzw"}),
    "inks.jpg": ("CMYK", {}),
    "turned.jpg": ("RGB", {"turned": True}),
    "slow.jpg": ("RGB", {"progressive": True}),
    "lossy.webp": ("RGB", {}),
    "alpha.webp": ("RGBA", {}),
}


def large_picture(file: Path, mode: str, side: int, more: dict[str, object]) -> None:
    gray = Image.new("L", (side + side // 5, side), 200)
    gray.paste(30, (side // 4, side // 4, side // 2, side // 2))
    image = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257) if mode == "I;16" else gray.convert(mode)
    if mode == "RGBA":
        image.putalpha(120)
    exif = Image.Exif()
    if more.get("turned"):
        exif[0x0112] = 6
    image.save(file, exif=exif, **{name: value for name, value in more.items() if name != "turned"})


def bytes_a_pixel(files: list[Path], kept: int) -> dict[str, float]:
    """What loading each file takes at most beyond what was held before, by its name, in a process of its own."""
    script = """
import re, sys
from pathlib import Path
from PIL import Image
from inkshift import pictures
from inkshift.pictures import load_picture
pictures.KEPT_PIXELS = int(sys.argv[1])
def memory(what):
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
for name in sys.argv[2:]:
    with Image.open(name) as image:
        pixels = image.width * image.height
    load_picture(name.replace("large", "small"))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    load_picture(name)
    print(Path(name).name, (memory("VmHWM") - before) / pixels)
"""
    command = [sys.executable, "-c", script, str(kept), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak of memory")
@pytest.mark.parametrize(
    ("side", "kept"),
    [(1800, pictures.KEPT_PIXELS), (1800, 800_000), pytest.param(9990, pictures.KEPT_PIXELS, marks=pytest.mark.slow)],
    ids=["kept", "shrunk", "119 megapixels"],
)
def test_a_page_takes_a_stated_multiple_of_its_pixels(tmp_path: Path, side: int, kept: int) -> None:
    for folder, length in (("small", 60), ("large", side)):
        (tmp_path / folder).mkdir()
        for name, (mode, more) in PICTURES.items():
            large_picture(tmp_path / folder / name, mode, length, more)
    taken = bytes_a_pixel([tmp_path / "large" / name for name in PICTURES], kept)
    assert set(taken) == set(PICTURES)
    said = re.search(
        r"at most (\d+) bytes of memory for each of its pixels",
        " ".join(READ_FORMS.read_text(encoding="utf-8").split()),
    )
    assert said and {name: value for name, value in taken.items() if value > int(said[1])} == {}


@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.booleans(),
    st.integers(1, 300),
)
def test_a_picture_fits_within_a_length_however_thin_it_is(h: int, w: int, colour: bool, longest: int) -> None:
    image = np.full((h, w, 3) if colour else (h, w), 9, np.uint8)
    small = pictures.fit_within(image, longest)
    assert max(small.shape[:2]) == min(max(h, w), longest) and small.shape[2:] == image.shape[2:]
    assert (small == 9).all() and small.dtype == np.uint8
    shorter = min(h, w) * min(1.0, longest / max(h, w))
    assert abs(min(small.shape[:2]) - shorter) <= 1


def test_a_picture_of_endless_pages_is_refused_and_one_with_the_most_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page of a TIFF is found by way of all before it."""
    monkeypatch.setattr(pictures, "MAX_PAGES", 3)
    sides = [Image.new("L", (40, 30 + k), 200) for k in range(4)]
    for pages in (3, 4):
        sides[0].save(tmp_path / f"{pages}.tif", save_all=True, append_images=sides[1:pages])
    assert pictures.count_pages(tmp_path / "3.tif") == 3
    assert [pictures.load_picture(tmp_path / "3.tif", page).shape[0] for page in (1, 2, 3)] == [30, 31, 32]
    for page in (0, 4):
        with pytest.raises(InputError, match=f"expected a page from 1 to 3, found page {page}"):
            pictures.load_picture(tmp_path / "3.tif", page)
    with pytest.raises(InputError, match="expected at most 3 pages, found more; save it in parts"):
        pictures.count_pages(tmp_path / "4.tif")
