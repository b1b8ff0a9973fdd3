"""Write the bundled telegrams anew: python benchmarks/write_telegrams.py FOLDER_WITH_MNIST_TEST_FILES"""

from __future__ import annotations

import argparse
from pathlib import Path

from specimens.pen import mnist_test_glyphs
from specimens.telegram import write_example

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("mnist", help="folder with t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz")
parser.add_argument("--out", default=Path(__file__).parents[1] / "examples" / "telegram", help="folder to write into")
parser.add_argument("--seed", type=int, default=2023, help="another seed gives other pages (default: 2023)")
arguments = parser.parse_args()
write_example(arguments.out, mnist_test_glyphs(arguments.mnist), arguments.seed)
