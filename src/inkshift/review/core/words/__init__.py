"""What the pages say: a language is one file beside this one, `en.toml`, whose blanks `{n}` are filled in.

Where the count `n` changes the words, a text is a table by the language's own kinds of plural (CLDR): `one`, `other`.
"""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date, format_time

from inkshift.errors import SettingError
from inkshift.forms.kinds import KindError
from inkshift.forms.reading import CROSSED, EMPTY, UNREADABLE, Kind
from inkshift.forms.rules import Violation

_FILES = sorted(Path(__file__).parent.glob("*.toml"))
_FOUND: dict[str, dict[str, Any]] = {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in _FILES}
# What the program says in English, and how a language says it: `[messages]` of its file, blanks numbered.
MESSAGES: dict[str, dict[str, str]] = {code: texts.pop("messages", {}) for code, texts in _FOUND.items()}
CATALOGUES: dict[str, dict[str, Any]] = _FOUND
LANGUAGES = {code: str(texts["language"]) for code, texts in CATALOGUES.items()}
_BLANK = re.compile(r"\{(\d)\}")


STATES = ("blank", "crossed-out", "unreadable")
_ALONE = {"": "blank", EMPTY: "blank", CROSSED: "crossed-out", UNREADABLE: "unreadable"}


def needed(error: SettingError) -> str:
    """The key of what is said where an answer is none: what is one."""
    plain = not isinstance(error, KindError) or error.wanted == "number"
    return "decide_first" if plain else f"type_{error.wanted}"  # type: ignore[attr-defined]


class Words:
    """The texts in one language: `words("left", n=3)`."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._texts = CATALOGUES[code]
        self._locale = Locale.parse(code)
        self.languages = LANGUAGES
        # The one with most words of its own first: `{0}: {1}` fits nearly all.
        said = sorted(MESSAGES[code].items(), key=lambda one: -len(_BLANK.sub("", one[0])))
        self._messages = [(_pattern(english), text) for english, text in said]

    def __call__(self, key: str, **given: Any) -> str:
        text = self._texts[key]
        if not isinstance(text, str):
            text = text.get(self._locale.plural_form(given["n"]), text["other"])
        return str(text.format(**given))

    def day(self, moment: date) -> str:
        """A day as this language writes it."""
        return str(format_date(moment, "medium", locale=self._locale))

    def when(self, moment: datetime) -> str:
        """A moment in UTC, to the minute."""
        return f"{self.day(moment)}, {format_time(moment, 'short', locale=self._locale)} UTC"

    def of_scripts(self) -> dict[str, str]:
        """The texts that scripts show, their blanks as they are."""
        return {key: text for key, text in self._texts.items() if key.startswith("js_")}

    def told(self, message: str, deep: int = 4) -> str:
        """A message of the program in this language, a line or several, as it is where the file lacks it.

        deep: how far what fills its blanks is said in this language too.
        """
        if "\n" in message:
            return "\n".join(map(self.told, message.split("\n")))
        for pattern, text in self._messages if deep else ():
            if found := pattern.fullmatch(message):
                return text.format(*(self.told(part, deep - 1) for part in found.groups()))
        return message

    def card(self, text: str) -> str:
        """A key or a text of a model's card in this language, as it is where the file lacks it."""
        said = self.grouped(self.told(f"card: {text}").removeprefix("card: "))
        return re.sub(r"\b\d{4}-\d\d-\d\d\b", lambda found: self.day(date.fromisoformat(found[0])), said)

    def grouped(self, text: str) -> str:
        """A text whose whole numbers of five digits and more are parted in threes, as this language does."""
        return re.sub(r"\b(?<!\.)\d{5,}\b", lambda found: f"{int(found[0]):,}".replace(",", self("thousands")), text)

    def who(self, name: str) -> str:
        """Who decided: a person's name; in words, the model and whoever needs no account."""
        return self(name) if name in ("model", "local") else name

    def of(self, state: str, value: str = "") -> str:
        """A decision or reading in words: its digits, or its state."""
        return value or (self(state) if state in self._texts else state)

    def broken(self, rule: Violation) -> str:
        """A broken rule in words."""
        if rule.code in ("cells", "digits", "max"):
            return self(f"limit_{rule.code}", rule=rule.rule, left=rule.left, right=rule.right)
        key = "rule_but" if rule.right else "rule_is" if rule.left else "rule_not"
        said = self(key, code=rule.code, rule=rule.rule, left=rule.left, right=rule.right)
        zeros = ", ".join(f"{name}: {self(state)}" for name, state in rule.zeros)
        return f"{said} ({self('rule_zeros', fields=zeros)})" if zeros else said

    def answer(self, shown: str, kind: Kind = "number") -> str:
        """The same for one that is written as a value of its kind or as the name of a state."""
        if kind == "tick" and shown in ("0", "1"):
            return self("ticked" if shown == "1" else "not_ticked")
        return self.of(shown) if shown in STATES else shown

    def candidate(self, written: str, kind: Kind) -> str:
        """What a field may hold: its digits and marks, or the state that its only mark stands for."""
        return self(_ALONE[written]) if written in _ALONE else self.answer(written, kind)


def _pattern(english: str) -> re.Pattern[str]:
    """What fits a message. A blank ends where the words behind it first come, and is not tried further: no message,
    however long, takes long.
    """
    first, *rest = re.split(r"\{\d\}", english)
    blanks = [f"(?>(.+?){re.escape(words)})" if words else "(.+)" for words in rest]
    return re.compile(re.escape(first) + "".join(blanks))


_WORDS = {code: Words(code) for code in LANGUAGES}


def language(chosen: str, accepted: str) -> Words:
    """The texts in the language that was chosen, else the first known one that the browser accepts, else English."""
    codes = [chosen, *(code[:2].lower() for code in re.split(r"[,;]\s*", accepted[:200]))]
    return _WORDS[next((code for code in codes if code in _WORDS), "en")]
