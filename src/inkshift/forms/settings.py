"""What a reader reads with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from inkshift.errors import SettingError
from inkshift.forms.kinds import MOST_DIGITS
from inkshift.models.package import AS_PUBLISHED, DEFAULT_MODEL, NUMBER_MODEL, Model, load_model

ReadAs = Literal["number", "digit", "table", "column"]
Method = Literal["default", "as-published"]
SecondReader = Literal["pp-ocrv6"]

# Fewest and most digits of a number where nothing says how many there are.
DIGITS = (1, 8)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a reader reads with. template: a file; templates: files of several; read_as: instead of any, what each
    picture shows. digits: fewest and most of a number that is read without a template.

    model: a shipped package's name or a package's folder; empty for the method's own. second_reader: another reader
    of whole numbers, reused as it is. policy: the file of an acceptance policy. crops: keep each field's picture in
    its reading.
    """

    template: str
    read_as: ReadAs | None
    model: str
    method: Method
    second_reader: SecondReader | None
    policy: str
    crops: bool
    digits: tuple[int, int]
    templates: tuple[str, ...]

    def arguments(self) -> dict[str, Any]:
        """What makes a reader of these settings: `Reader(**settings.arguments())`."""
        given = asdict(self)
        several = given.pop("templates")
        return given | ({"template": several} if several else {})


def checked_digits(digits: Sequence[int], read_as: ReadAs | None) -> tuple[int, int]:
    fewest, most = digits
    if not 1 <= fewest <= most <= MOST_DIGITS:
        raise SettingError(f"digits: expected fewest and most, from 1 to {MOST_DIGITS}, found {fewest} and {most}")
    if (fewest, most) != DIGITS and read_as in (None, "digit"):
        what = "a template says so for each field" if read_as is None else "one digit has one"
        raise SettingError(f"digits: are for numbers that are read without a template; {what}")
    return fewest, most


def models_of(settings: Settings) -> tuple[Model, Model | None]:
    """The model of digits and the model of whole numbers that these settings mean."""
    if settings.method == "as-published":
        if settings.second_reader:
            raise SettingError("second reader: method as-published reads digit by digit; leave one of the two out")
        return load_model(settings.model or AS_PUBLISHED), None
    given = load_model(settings.model) if settings.model else None
    if given is not None and given.manifest.reads == "digit":
        if settings.second_reader:
            raise SettingError(
                f"second reader: needs a model that reads whole numbers beside it, such as {NUMBER_MODEL}; "
                f"{settings.model} reads digits"
            )
        return given, None
    return load_model(DEFAULT_MODEL), given or load_model(NUMBER_MODEL)
