"""A task's process: as `inkshift.review.core.tasks`, but `review_teacher` stands in for the command `inkshift`."""

from __future__ import annotations

import sys
from pathlib import Path

from inkshift.review import teach
from inkshift.review.core import tasks

if __name__ == "__main__":
    teach.COMMAND = (sys.executable, str(Path(__file__).with_name("review_teacher.py")))
    sys.exit(tasks.main(sys.argv[1:]))
