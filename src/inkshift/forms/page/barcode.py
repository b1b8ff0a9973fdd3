"""What the barcodes on a page say."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import re2
import zxingcpp

from inkshift.arrays import Pixels
from inkshift.reframe import to_gray

# Barcodes whose check digits no chance reading passes.
_CHECKED = zxingcpp.barcode_formats_from_str("Code128,EANUPC,PDF417,QRCode,DataMatrix,Aztec")


def barcode_on(image: Pixels, pattern: str | None) -> str:
    """What the first barcode on a page says that matches a pattern, or its first group; empty where none does."""
    for code in _all_on(image):
        if pattern is None:
            return str(code.text)
        # RE2 takes time in proportion to the text, whatever the pattern; the module `re` may take for ever.
        if found := re2.fullmatch(pattern, code.text):
            return str(found[1] if found.groups() else found[0])
    return ""


def _all_on(image: Pixels) -> Iterator[zxingcpp.Barcode]:
    """The barcodes on a page: first those that an upright page shows at half its size, a tenth of the work, of kinds
    that check themselves."""
    half = cv2.resize(to_gray(image), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    yield from zxingcpp.read_barcodes(half, formats=_CHECKED, try_rotate=False, try_downscale=False, try_invert=False)
    yield from zxingcpp.read_barcodes(image)
