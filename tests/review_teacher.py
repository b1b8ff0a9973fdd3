"""In place of the command `inkshift` in tests: `model train` prints as it does and leaves a package at once.

How it goes is said by the file that $REVIEW_TEACHER names: `better` leaves the shipped package, `worse` one that sees
its pictures in four pixels, `fails` ends as a wrong setting does, and `waits` stops at its second epoch.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from inkshift.models.package import GRAPH, NUMBER_MODEL, WEIGHTS, load_model, save_package

EPOCH = "epoch {}: loss 1.000, held out 0.500, 81.2% right"


def how() -> str:
    return Path(os.environ["REVIEW_TEACHER"]).read_text()


def train(out: Path) -> None:
    if how() == "fails":
        sys.exit("error: labelled numbers: all are from one form; label numbers of at least two forms")
    for epoch in (1, 2, 3):
        print(EPOCH.format(epoch), file=sys.stderr, flush=True)
        while epoch == 2 and how() == "waits":
            time.sleep(0.05)
    base = load_model(NUMBER_MODEL)
    frame = "gray|light_ink|stretch|resize(2)|line(32)" if how() == "worse" else base.manifest.reframing
    scores = {"composed numbers (400), before and after": "0.7600, 0.7380"}
    given = {"name": out.name, "reframing": frame, "digests": {}, "scores": scores}
    manifest = base.manifest.model_copy(update=given)
    save_package(out, manifest, (base.folder / WEIGHTS).read_bytes(), (base.folder / GRAPH).read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    given, _ = parser.parse_known_args()
    train(given.out)


if __name__ == "__main__":
    main()
