"""The models of this review: which one reads, those that ship, those that were taught here, and the way back; and two
of them on the same held-out numbers: is one better, and how sure is that?

The sampled unit is the form. The difference has the interval of Agresti and Min (2005), Simple improved confidence
intervals for comparing matched proportions, Statistics in Medicine 24, 729-740: half a form more of each kind, which
keeps it honest where two models differ on few numbers or none. Its variance is taken over forms, since the numbers of
one are of one hand.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.errors import DataError, ModelError, SettingError, lacks
from inkshift.forms.judge.evaluate import wilson
from inkshift.forms.judge.guarantee import scipy
from inkshift.models.package import NUMBER_MODEL, Manifest, Model, load_model, shipped
from inkshift.review.core import store as stores
from inkshift.review.core.schema import Batch, Choice, TaskRecord, TrainedModel, User
from inkshift.review.core.store import ListPage, Store, listed

SHIPPED = ""
EACH = 20  # of a page


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as the pages show it. folder: what `--model` takes; manifest: None where the package is damaged.

    choice: what `choose` takes; None for one that reads digits, which always is the shipped one. default: whether
    it reads now. based_on: name of the one it was taught from. problem: why it cannot be used, in one line.
    """

    digest: str
    name: str
    folder: str
    manifest: Manifest | None
    choice: str | None
    default: bool
    based_on: str = ""
    comparison: PairedComparison | None = None
    facts: dict[str, Any] | None = None
    created: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DefaultChange:
    """A line of the history: a model that became the default. user: empty where it is not known."""

    name: str
    user: str
    time: datetime


def default_folder(store: Store) -> str | None:
    """The folder of the model that reads whole numbers by default; None for the one that ships."""
    with store.reading() as session:
        found = session.get(TrainedModel, _current(session))
        return str(store.at(found.folder)) if found else None


def ships(store: Store) -> list[ModelCard]:
    """The models that ship, that of whole numbers first."""
    with store.reading() as session:
        current = _current(session)
    found = []
    for name, model in _shipped().items():
        choice = SHIPPED if name == NUMBER_MODEL else None
        found.append(ModelCard(model.digest, name, name, model.manifest, choice, choice == current))
    return found


def taught(store: Store, page: int = 1) -> ListPage[ModelCard]:
    """Models that were taught here, the newest first. Only those of the page are opened."""
    found = listed(stores.models(store), page, EACH)
    with store.reading() as session:
        current = _current(session)
        return found.each(lambda model: _taught(session, store, model, current))


def find(store: Store, digest: str) -> ModelCard | None:
    """A model by its digest; None where there is none."""
    with store.reading() as session:
        model = session.get(TrainedModel, digest)
        if model is not None:
            return _taught(session, store, model, _current(session))
    return next((model for model in ships(store) if model.digest == digest), None)


def default(store: Store) -> ModelCard | None:
    """The model that reads now."""
    with store.reading() as session:
        current = _current(session)
    return next((model for model in ships(store) if model.default), None) or find(store, current)


def learned(store: Store) -> set[str]:
    """Names of the batches that the model that reads now, or one that it was taught from, learned from."""
    batches: set[int] = set()
    with store.reading() as session:
        model = session.get(TrainedModel, _current(session))
        while model is not None:
            task = Path(model.folder).name  # a package that was taught here lies in a folder called after its task
            found = session.get(TaskRecord, int(task)) if task.isdigit() else None
            batches |= set(found.about["batches"]) if found and found.kind == "teach" else set()
            model = session.get(TrainedModel, model.based_on)
        return set(session.scalars(sa.select(Batch.name).where(Batch.id.in_(batches))))


def choose(store: Store, digest: str, user_id: int | None = None, *, although_worse: bool = False) -> None:
    """Make a model the default: that of a digest, or the one that ships where it is empty.

    One that was never compared is refused, and so is one that read fewer held-out numbers right, unless
    `although_worse`: the forms held out need not be those that come next, and who decides is asked to say so.
    Raises SettingError.
    """
    with store.writing() as session:
        if digest != SHIPPED:
            found = session.get(TrainedModel, digest)
            if found is None:
                raise SettingError(f"model {digest[:12]!r}: is not among the models of this review; teach it first")
            if not found.comparison:
                raise SettingError(f"model {found.name!r}: was not compared with the one it is from; finish that first")
            if of_json(found.comparison).verdict == "worse" and not although_worse:
                raise SettingError(
                    f"model {found.name!r}: read fewer held-out numbers right than the one it is from; "
                    "tick that you know it, or keep the other one"
                )
        _choose(session, store, digest, user_id)


def before(store: Store) -> tuple[str, str] | None:
    """Digest and name of the default before this one; None where there was no other."""
    with store.reading() as session:
        return _before(session)


def go_back(store: Store, user_id: int | None = None) -> None:
    """Make the default again what it was before. Raises SettingError where there was no other."""
    with store.writing() as session:
        last = _before(session)
        if last is None:
            raise SettingError("no other model was the default before; choose one")
        _choose(session, store, last[0], user_id)


def history(store: Store, page: int = 1) -> ListPage[DefaultChange]:
    """Which model became the default when, the latest first."""
    chosen = sa.select(TrainedModel.name, User.name, Choice.time).select_from(Choice)
    named = chosen.outerjoin(TrainedModel, TrainedModel.digest == Choice.model).outerjoin(Choice.user)
    with store.reading() as session:
        rows = session.execute(named.order_by(Choice.id.desc())).all()
    return listed(rows, page, EACH).each(lambda row: DefaultChange(row[0] or NUMBER_MODEL, row[1] or "", row[2]))


def missing_to_teach() -> bool:
    """Whether the optional part that teaching and studies need is not installed."""
    return lacks("torch", "onnx", "onnxscript", "timm", "scipy")


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Model]:
    return {name: load_model(name) for name in sorted(shipped(), key=lambda name: name != NUMBER_MODEL)}


def _taught(session: Session, store: Store, model: TrainedModel, current: str) -> ModelCard:
    folder, manifest, problem = str(store.at(model.folder)), None, ""
    try:
        manifest = load_model(folder).manifest
    except ModelError as e:
        problem = str(e)
    facts = model.comparison
    names = {one.digest: name for name, one in _shipped().items()}
    base = session.get(TrainedModel, model.based_on)
    return ModelCard(
        model.digest,
        model.name,
        folder,
        manifest,
        model.digest,
        model.digest == current,
        base.name if base else names.get(model.based_on, model.based_on[:12]),
        of_json(facts) if facts else None,
        facts,
        model.created,
        problem,
    )


def _current(session: Session) -> str:
    return session.scalar(sa.select(Choice.model).order_by(Choice.id.desc()).limit(1)) or SHIPPED


def _before(session: Session) -> tuple[str, str] | None:
    """The choice before the latest one that differs from it; what ships where nothing else was ever chosen."""
    chosen = list(session.scalars(sa.select(Choice.model).order_by(Choice.id.desc()).limit(1000)))
    if not chosen:
        return None
    last = next((digest for digest in chosen if digest != chosen[0]), SHIPPED)
    if last == chosen[0]:
        return None
    found = session.get(TrainedModel, last)
    return last, found.name if found else NUMBER_MODEL


def _choose(session: Session, store: Store, digest: str, user_id: int | None) -> None:
    if _current(session) != digest:
        session.add(Choice(model=digest, user_id=user_id, time=store.clock()))


Verdict = Literal["better", "undecided", "worse"]
Bounds = tuple[float, float]
_POWER = 0.8416  # of the standard normal, 80 %
_OUT_OF_REACH = 100_000


class HeldOutNumber(NamedTuple):
    """One held-out number: the form it is from, and whether the old and the new model read it right."""

    form: str
    old: bool
    new: bool


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """The new model against the old one. Shares from 0 to 1, their intervals at 95 %.

    only_old, only_new: numbers that only one of them read right. difference: new minus old; at90, at95: its intervals.
    verdict: by the one at 90 %, which leaves 5 % on either side. further: about how many held-out numbers more would
    tell a difference of this size four times in five; None where it is told already, or none is in reach.
    """

    numbers: int
    forms: int
    old: int
    new: int
    old_interval: Bounds
    new_interval: Bounds
    only_old: int
    only_new: int
    difference: float
    at90: Bounds
    at95: Bounds
    verdict: Verdict
    further: int | None


def compare(seen: Sequence[HeldOutNumber]) -> PairedComparison:
    """Hold two models against each other. Raises DataError without numbers, MissingExtraError without scipy."""
    if not seen:
        raise DataError("comparing two models: no number was held out; settle numbers of more forms")
    old, new = sum(s.old for s in seen), sum(s.new for s in seen)
    at90, at95 = _difference(seen, 0.90), _difference(seen, 0.95)
    verdict: Verdict = "better" if at90[0] > 0 else "worse" if at90[1] < 0 else "undecided"
    return PairedComparison(
        len(seen),
        len({s.form for s in seen}),
        old,
        new,
        share_bounds(_by_form(seen, [s.old for s in seen])),
        share_bounds(_by_form(seen, [s.new for s in seen])),
        sum(s.old and not s.new for s in seen),
        sum(s.new and not s.old for s in seen),
        (new - old) / len(seen),
        at90,
        at95,
        verdict,
        _further(seen, at90) if verdict == "undecided" else None,
    )


def of_json(data: Mapping[str, Any]) -> PairedComparison:
    """What `dataclasses.asdict` made of a comparison; other keys are passed over."""
    pairs = {name: tuple(data[name]) for name in ("old_interval", "new_interval", "at90", "at95")}
    return PairedComparison(**{name: pairs.get(name, data[name]) for name in PairedComparison.__slots__})


def _by_form(seen: Sequence[HeldOutNumber], right: Sequence[bool]) -> list[tuple[int, int]]:
    forms: defaultdict[str, list[bool]] = defaultdict(list)
    for s, hit in zip(seen, right, strict=True):
        forms[s.form].append(hit)
    return [(sum(hits), len(hits)) for hits in forms.values()]


def _difference(seen: Sequence[HeldOutNumber], level: float) -> Bounds:
    """Bounds of new minus old; (-1, 1) where there are fewer than two forms."""
    forms: defaultdict[str, list[int]] = defaultdict(list)
    for s in seen:
        forms[s.form].append(s.new - s.old)
    if len(forms) < 2:
        return -1.0, 1.0
    size = len(seen) / len(forms)
    total = len(seen) + 2 * size
    middle = sum(map(sum, forms.values())) / total
    spread = size**2 + sum((sum(gains) - middle * len(gains)) ** 2 for gains in forms.values())
    error = math.sqrt(spread * len(forms) / (len(forms) - 1)) / total
    reach = float(scipy("stats", "comparing two models").t.ppf((1 + level) / 2, len(forms) - 1)) * error
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def share_bounds(forms: Sequence[tuple[int, int]]) -> Bounds:
    """The interval of Wilson (1927) with as many numbers as they are worth: those of one form are of one hand.

    forms: of each, how many numbers were right, of how many.
    """
    right, n = (sum(counts) for counts in zip(*forms, strict=True))
    share = right / n
    alone = n * share * (1 - share)
    together = sum((hits - share * count) ** 2 for hits, count in forms)
    worth = len(forms) if not alone or len(forms) == 1 else n * min(1.0, alone / together) if together else n
    return wilson(share * worth, worth)


def _further(seen: Sequence[HeldOutNumber], at90: Bounds) -> int | None:
    difference = abs(sum(s.new - s.old for s in seen)) / len(seen)
    if not difference:
        return None
    half = (at90[1] - at90[0]) / 2
    needed = len(seen) * (half * (1 + _POWER / 1.6449) / difference) ** 2
    return math.ceil(needed - len(seen)) if len(seen) < needed < _OUT_OF_REACH else None
