"""Write the example anew: python examples/telegram/generate.py FOLDER_WITH_MNIST_TEST_FILES"""

from __future__ import annotations

import argparse
from pathlib import Path

from inkshift.forms.specimens.pen import mnist_test_glyphs
from inkshift.forms.specimens.telegram import write_example

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("mnist", help="folder with t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz")
parser.add_argument("--out", default=Path(__file__).parent, help="folder to write into (default: this one)")
parser.add_argument("--seed", type=int, default=2023, help="another seed gives other pages (default: 2023)")
arguments = parser.parse_args()
write_example(arguments.out, mnist_test_glyphs(arguments.mnist), arguments.seed)
