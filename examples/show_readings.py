"""Print a readings file as a table, a row for each field and a column for each form.

python examples/show_readings.py readings.csv
"""

from __future__ import annotations

import csv
import sys

from rich.console import Console
from rich.table import Table


def main(path: str) -> None:
    with open(path, newline="", encoding="utf-8") as file:  # noqa: PTH123
        rows = list(csv.DictReader(file))
    read = {(row["field"], row["form"]): row["value"] or row["state"] for row in rows}
    forms = list(dict.fromkeys(row["form"] for row in rows))
    table = Table("field", *forms)
    for field in dict.fromkeys(row["field"] for row in rows):
        table.add_row(field, *(read.get((field, form), "") for form in forms))
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1])
