"""A model on disk: a folder with `model.safetensors`, `model.onnx`, `package.json` and `README.md`, the card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from inkshift.errors import InkshiftError, ModelError, nearest
from inkshift.files import file_digest, is_file, parse_json, read_bytes, reason, whole_folder
from inkshift.reframe import Reframing, parse

DEFAULT_MODEL = "digits"
NUMBER_MODEL = "numbers"
AS_PUBLISHED = "mnist-as-published"
WEIGHTS, GRAPH, MANIFEST, CARD = "model.safetensors", "model.onnx", "package.json", "README.md"


class Source(BaseModel):
    """A set of pictures that a model learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    images: int
    licence: str
    cite: str


class Input(BaseModel):
    """How a network of another maker takes framed pictures, which our own take as they are, and what it answers with.

    layout: its axes, N of pictures, 1 or 3 of channels. dtype: numpy's name of its numbers. multiply, add: a byte
    becomes multiply * byte + add, one of each, or one for each of 3 channels. one_by_one: it takes one picture at a
    time. shares: it answers with shares of 1, of which the logarithm is taken, not with logits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    layout: Literal["N,1,H,W", "N,H,W,1", "N,3,H,W", "N,H,W,3", "N,H,W", "N,H*W"]
    dtype: Annotated[str, Field(pattern=r"^(bool|u?int(8|16|32|64)|float(16|32|64))$")]
    multiply: Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]
    add: Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]
    one_by_one: bool = False
    shares: bool = False


class SeedSpread(BaseModel):
    """A score over `n` seeds: its mean, lowest and highest."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: float
    lowest: float
    highest: float
    n: int


class Manifest(BaseModel):
    """What `package.json` says.

    reads: what one picture shows, a digit or a whole number (then the last class is the blank between digits).
    classes: names of the outputs, in order. reframing: see `inkshift.reframe`. input: of a network of another maker.
    calibration: constants by name, fitted as the card says. scores: figure by name. digests: SHA-256 by file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    name: Annotated[str, Field(max_length=200)]
    summary: str
    reads: Literal["digit", "number"] = "digit"
    architecture: str
    parameters: Annotated[int, Field(ge=0)]
    classes: Annotated[tuple[Annotated[str, Field(max_length=100)], ...], Field(min_length=2, max_length=100_000)]
    reframing: str
    input: Input | None = None
    calibration: dict[str, Annotated[float, Field(ge=-1e6, le=1e6)]] = {}
    sources: tuple[Source, ...] = ()
    training: dict[str, Any] = {}
    scores: Mapping[str, SeedSpread | Any] = {}
    licence: str
    digests: dict[str, str] = {}

    @field_validator("calibration")
    @classmethod
    def _divides(cls, constants: dict[str, float]) -> dict[str, float]:
        if wrong := [name for name, value in constants.items() if "temperature" in name and value < 1e-3]:
            raise ValueError(f"{wrong[0]} must be 0.001 or more, as it divides, found {constants[wrong[0]]:g}")
        return constants

    @field_validator("reframing")
    @classmethod
    def _parses(cls, text: str) -> str:
        try:
            parse(text)
        except InkshiftError as e:
            raise ValueError(str(e)) from None
        return text


@dataclass(frozen=True, slots=True)
class Model:
    """A package that was found whole: its folder, what it says of itself, its reframing."""

    folder: Path
    manifest: Manifest
    reframing: Reframing

    def __repr__(self) -> str:
        return f"<Model {self.manifest.name!r}: {self.manifest.parameters:,} parameters, in {str(self.folder)!r}>"

    @property
    def digest(self) -> str:
        """Names the weights and settings: SHA-256 of `package.json`, which holds those of the other files."""
        return hashlib.sha256((self.folder / MANIFEST).read_bytes()).hexdigest()


def shipped() -> dict[str, Path]:
    """Folders of the packages that come with inkshift, by name."""
    root = Path(str(resources.files("inkshift") / "packages"))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{MANIFEST}"))}


def load_model(name: str | Path = DEFAULT_MODEL) -> Model:
    """A shipped package by name, or the package in a folder, checked against its digests.

    Raises ModelError naming the file that is missing, malformed or not the one that was packed.
    """
    known = shipped()
    folder = known.get(str(name)) or Path(name)
    path = folder / MANIFEST
    if not is_file(path):
        raise ModelError(f"{name}: no model of this name, and no folder with {MANIFEST}; {nearest(str(name), known)}")
    try:
        manifest = Manifest.model_validate(parse_json(read_bytes(path)))
    except (OSError, ValueError) as e:
        if not isinstance(e, ValidationError):
            raise ModelError(f"{path}: cannot be read ({reason(e)}); get the package again") from None
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelError(f"{path}: {where}: {first['msg']}; get the package again") from None
    for file, expected in manifest.digests.items():
        if not is_file(folder / file):
            raise ModelError(f"{folder / file}: missing from the model package; get the package again")
        found = file_digest(folder / file)
        if found != expected:
            raise ModelError(
                f"{folder / file}: changed since it was packed (SHA-256 {found[:12]}..., expected {expected[:12]}...); "
                "get the package again"
            )
    if GRAPH not in manifest.digests:
        raise ModelError(f"{path}: digests name no {GRAPH}; get the package again")
    return Model(folder, manifest, parse(manifest.reframing))


def save_package(folder: Path, manifest: Manifest, weights: bytes, graph: bytes) -> Model:
    """Write a package as a whole or not at all; one that was there before is replaced."""
    files = {WEIGHTS: weights, GRAPH: graph}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = manifest.model_copy(update={"digests": digests})
    with whole_folder(folder) as part:
        for name, data in files.items():
            (part / name).write_bytes(data)
        (part / MANIFEST).write_text(json.dumps(manifest.model_dump(), indent=2) + "\n", encoding="utf-8")
        (part / CARD).write_text(card(manifest), encoding="utf-8")
        model = load_model(part)
    return replace(model, folder=folder)  # not read anew: another may be putting theirs there


def card(manifest: Manifest) -> str:
    """The model card, in Markdown, from the manifest alone."""
    m = manifest
    lines = [f"# {m.name}", "", m.summary, "", "| | |", "|---|---|"]
    lines += [f"| architecture | {m.architecture}, {m.parameters:,} parameters |"]
    lines += [f"| classes | {' '.join(m.classes)} |", f"| reframing | `{m.reframing.replace('|', chr(92) + '|')}` |"]
    lines += [f"| licence of the weights | {m.licence} |"]
    if m.sources:
        lines += ["", "## Learned from", ""]
        lines += [f"- {s.name}: {s.images:,} images; {s.licence}. {s.cite}" for s in m.sources]
    for title, values in (("Training", m.training), ("Calibration", m.calibration), ("Scores", m.scores)):
        if values:
            lines += ["", f"## {title}", "", "| | |", "|---|---|"]
            lines += [f"| {key} | {show_value(value)} |" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def show_value(value: Any) -> str:
    """A value of a manifest as its card shows it: a share to four digits, without powers of ten."""
    if isinstance(value, SeedSpread):
        return f"{value.mean:.4f} ({value.lowest:.4f} to {value.highest:.4f} over {value.n} seeds)"
    return f"{Decimal(f'{value:.4g}'):f}" if isinstance(value, float) else str(value)
