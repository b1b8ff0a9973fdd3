"""What arrays and boxes of pixels hold, each type once."""

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
"""A picture in shades of gray, (H, W)."""
Pixels = npt.NDArray[np.uint8]
"""A picture, (H, W) gray or (H, W, 3) RGB."""
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]
"""The number of the piece of ink that each pixel belongs to, (H, W), 0 none."""
Stats = npt.NDArray[np.int32]
"""x, y, width, height, area of each piece of ink, (n, 5)."""
Floats = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]
"""(n, 2)."""
Matrix = npt.NDArray[np.float64]
"""(3, 3)."""
Box = tuple[int, int, int, int]
"""xmin, ymin, xmax, ymax in pixels; what a template holds is `template.Box`."""
