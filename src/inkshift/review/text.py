"""What the pages say, in English and Spanish."""

from __future__ import annotations

import re
from collections.abc import Mapping

from inkshift.review.texts import acceptance, circle, designer, keying, newbatch, tasks

LANGUAGES = {"en": "English", "es": "Español"}

_PAGES = (keying, tasks, newbatch, acceptance, circle, designer)
_TEXTS: Mapping[str, tuple[str, str]] = {key: text for page in _PAGES for key, text in page.TEXTS.items()}


class Words:
    """The texts in one language: `words("left", n=3)`."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._at = list(LANGUAGES).index(code)
        self.languages = LANGUAGES

    def __call__(self, key: str, **given: object) -> str:
        return _TEXTS[key][self._at].format(**given)

    def plain(self, key: str) -> str:
        """A text with its blanks as they are, for a script to fill in."""
        return _TEXTS[key][self._at]

    def of(self, state: str, value: str = "") -> str:
        """A decision or reading in words: its digits, or its state."""
        return value or (self(state) if state in _TEXTS else state)

    def answer(self, shown: str) -> str:
        """The same for one that is written as digits or as the name of a state."""
        return shown if shown.isdigit() else self.of(shown)


_WORDS = {code: Words(code) for code in LANGUAGES}


def language(chosen: str, accepted: str) -> Words:
    """The texts in the language that was chosen, else the first known one that the browser accepts, else English."""
    codes = [chosen, *(code[:2].lower() for code in re.split(r"[,;]\s*", accepted[:200]))]
    return _WORDS[next((code for code in codes if code in _WORDS), "en")]
