"""A field cut out of its page, and what in it is whose: `cutout` is the way in, the field and its own ink; `ink` tells
ink from paper, `printed` (frames and blank forms), `borders` (of crops that no template describes), `dots` and `grid`
(rows of cells) find what the form brings with it; `segment` parts ink into pieces.
"""
