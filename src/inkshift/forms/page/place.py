"""Where on its page, as the file holds it, a box of the template lies."""

from __future__ import annotations

import numpy as np

from inkshift.forms.registration.candidates import project
from inkshift.forms.registration.registered import RegisteredPage

Box = tuple[float, float, float, float]


def on_page(page: RegisteredPage, box: Box) -> Box:
    """xmin, ymin, xmax, ymax of a box of the template, x, y, width, height, in pixels of the page as it was loaded.

    The page may have been turned to stand upright; the answer is of the page before that, to a tenth of a pixel.
    """
    x, y, w, h = box
    corners = np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]], np.float64)
    across, down = project(corners, page.map_of(box)).T
    high, wide = page.image.shape[:2]
    if page.turn == 90:
        across, down = down, wide - across
    elif page.turn == 180:
        across, down = wide - across, high - down
    elif page.turn == 270:
        across, down = high - down, across
    return tuple(round(float(v), 1) for v in (across.min(), down.min(), across.max(), down.max()))  # type: ignore[return-value]
