"""The errors a user can act on. Each message is one line: what is wrong, where, and how to mend it."""

from __future__ import annotations

import difflib
import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class InkshiftError(Exception):
    """Root of every error that inkshift raises on purpose."""


class InputError(InkshiftError):
    """A file that was given cannot be read: missing, corrupt, empty, too large, locked."""


class TemplateError(InkshiftError):
    """A template is not valid, or does not describe the form on the page."""


class RegistrationError(InkshiftError):
    """A page could not be laid onto its template, so nothing on it was read.

    outline: the corners, x and y in pixels, of the place where it comes nearest, if there is any; explained: about what
    share of the form's print is seen there.
    """

    outline: Sequence[tuple[float, float]] = ()
    explained: float = 0.0


class BlankPageError(RegistrationError):
    """A page has nothing on it, such as the back of a form."""


class UnknownFormError(RegistrationError):
    """A page shows too little of what its template knows: another form, or a very bad scan."""


class ModelError(InkshiftError):
    """A model package is missing, incomplete, tampered with, or of the wrong kind."""


class DataError(InkshiftError):
    """A data set or a label file is missing, malformed or does not match."""


class SettingError(InkshiftError):
    """A setting has a value that it does not allow."""


class MissingExtraError(InkshiftError):
    """An optional part of inkshift is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs an optional part: run  {how_to_install(extra)}")


def need(module: str, extra: str, needed_for: str) -> Any:
    """A module of an optional part. Raises MissingExtraError where that part is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(extra, needed_for) from None


def lacks(*modules: str) -> bool:
    """Whether one of these modules is not installed."""
    return any(importlib.util.find_spec(name) is None for name in modules)


def how_to_install(extra: str, again: bool = False) -> str:
    """The command that adds an extra to inkshift as it was installed: from a clone, from a wheel or from an index.

    again: what is there is to be replaced.
    """
    from importlib import metadata  # slow, and wanted seldom
    from urllib.parse import unquote, urlparse

    try:
        said = json.loads(metadata.distribution("inkshift").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        said = {"dir_info": {"editable": True}, "url": Path(__file__).parents[2].as_uri()}
    url, folder = str(said.get("url", "")), said.get("dir_info")
    if control := said.get("vcs_info"):
        url = f"{control.get('vcs', 'git')}+{url}@{control.get('commit_id', '')}".removesuffix("@")
    if folder is None:
        what = f"'inkshift[{extra}] @ {url}'" if url else f"'inkshift[{extra}]'"
    else:
        edit = "-e " if folder.get("editable") else ""
        what = f"{edit}'{unquote(urlparse(url).path)}[{extra}]'"
    return f"pip install {'--force-reinstall ' if again else ''}{what}"


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the allowed values and, where one is close, which was probably meant."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"known: {', '.join(known)}{hint}"
