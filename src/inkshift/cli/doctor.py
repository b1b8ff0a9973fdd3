"""`inkshift doctor`: is everything in place?"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata

import typer

from inkshift.cli.app import app, out
from inkshift.errors import DataError, ModelError, how_to_install

# What is said of one thing: its name, its state, and whether all is well with it.
Finding = tuple[str, str, bool]


@app.command()
def doctor() -> None:
    """Show versions, machine, optional parts, models and data; exit status 1 if something is broken.

    Example: inkshift doctor
    """
    broken = 0
    for part in (_machine, _libraries, _models, _data):
        for name, state, well in part():
            broken += not well
            mark, style = ("ok  ", "green") if well else ("BAD ", "red")
            out.print(mark, style=style, end="")
            out.print(f"{name:22} {state}", markup=False, highlight=False)
    out.print("all is well" if not broken else f"{broken} broken; see the lines marked BAD", highlight=False)
    raise typer.Exit(1 if broken else 0)


def _machine() -> Iterator[Finding]:
    from inkshift import __version__
    from inkshift.forms.out.batch import cores

    yield "inkshift", __version__, True
    yield "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", True
    yield "cores", f"{cores()} of {os.cpu_count()} may be used", True
    if hasattr(os, "sysconf"):
        yield "memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB", True


def _requirements() -> dict[str, list[str]]:
    """Names of the distributions that inkshift needs, by extra; '' for those it always needs."""
    found: dict[str, list[str]] = {"": []}
    for line in metadata.requires("inkshift") or ():
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if name:
            found.setdefault(extra[1] if extra else "", []).append(name[0])
    return found


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _libraries() -> Iterator[Finding]:
    try:
        needed = _requirements()
    except metadata.PackageNotFoundError:
        yield "libraries", "inkshift runs from its source and is not installed: versions not checked", True
        return
    for name in needed.pop(""):
        version = _version(name)
        yield name, version or f"missing; run  pip install {name}", bool(version)
    for extra, names in needed.items():
        have = "installed" if all(map(_version, names)) else f"not installed; for it  {how_to_install(extra)}"
        yield f"extra {extra}", have, True


def _models() -> Iterator[Finding]:
    import numpy as np

    from inkshift.models.ctc import HEIGHT, STRIDE
    from inkshift.models.package import AS_PUBLISHED, DEFAULT_MODEL, NUMBER_MODEL, load_model
    from inkshift.models.runtime import classifier, symbol_recogniser

    for name in (DEFAULT_MODEL, NUMBER_MODEL, AS_PUBLISHED):
        try:
            model = load_model(name)
            if model.manifest.reads == "number":
                answer = symbol_recogniser(model)([np.zeros((HEIGHT, STRIDE), np.uint8)])[0]
            else:
                answer = classifier(model)(np.zeros((1, 28, 28), np.uint8))
        except ModelError as e:
            yield f"model {name}", str(e), False
            continue
        fits = answer.shape == (1, len(model.manifest.classes))
        state = "whole and runs" if fits else f"answers {answer.shape[1]} classes, {len(model.manifest.classes)} named"
        yield f"model {name}", f"{state}; {model.folder}", fits


def _data() -> Iterator[Finding]:
    from inkshift.datasets.catalog import CATALOG, data_root, locate

    root = data_root()
    named = os.environ.get("INKSHIFT_DATA")
    here = root.is_dir()
    why = "from INKSHIFT_DATA" if named else "the default; INKSHIFT_DATA names another"
    yield "data folder", f"{root} ({why})" + ("" if here else ", not there"), here or not named
    found = []
    for name in CATALOG:
        with suppress(DataError):
            locate(name)
            found.append(name)
    yield "data sets here", ", ".join(found) or "none; see  inkshift data list", True
