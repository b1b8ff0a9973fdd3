"""The models of this review: which one reads, those that ship, those that were taught here, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from inkshift.errors import ModelError, SettingError, lacks
from inkshift.models.package import NUMBER_MODEL, Manifest, load_model, shipped
from inkshift.review.core import store as stores
from inkshift.review.core.schema import Choice, TrainedModel
from inkshift.review.core.store import Store
from inkshift.review.paired import Paired, of_json

SHIPPED = ""


@dataclass(frozen=True, slots=True)
class Known:
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
    comparison: Paired | None = None
    facts: dict[str, Any] | None = None
    created: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A line of the history: a model that became the default. user: empty where it is not known."""

    name: str
    user: str
    time: datetime


def default_folder(store: Store) -> str | None:
    """The folder of the model that reads whole numbers by default; None for the one that ships."""
    with store.reading() as session:
        found = session.get(TrainedModel, _current(session))
        return str(store.at(found.folder)) if found else None


def known(store: Store) -> list[Known]:
    """Those that were taught here, the newest first, then those that ship."""
    with store.reading() as session:
        current = _current(session)
    taught = stores.models(store)
    names = {model.digest: model.name for model in taught}
    ships: list[Known] = []
    for name in sorted(shipped(), key=lambda name: name != NUMBER_MODEL):
        model = load_model(name)
        names[model.digest] = name
        is_it = name == NUMBER_MODEL
        choice = SHIPPED if is_it else None
        ships.append(Known(model.digest, name, name, model.manifest, choice, is_it and current == SHIPPED))
    return [*(_taught(model, str(store.at(model.folder)), model.digest == current, names) for model in taught), *ships]


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


def history(store: Store) -> list[Chosen]:
    """Which model became the default when, the latest first."""
    with store.reading() as session:
        names = {row[0]: row[1] for row in session.execute(sa.select(TrainedModel.digest, TrainedModel.name))}
        rows = session.scalars(sa.select(Choice).order_by(Choice.id.desc()).options(selectinload(Choice.user)))
        return [Chosen(names.get(c.model, NUMBER_MODEL), c.user.name if c.user else "", c.time) for c in rows]


def missing_to_teach() -> bool:
    """Whether the optional part that teaching and studies need is not installed."""
    return lacks("torch", "onnx", "onnxscript", "timm", "scipy")


def _taught(model: TrainedModel, folder: str, default: bool, names: dict[str, str]) -> Known:
    manifest, problem = None, ""
    try:
        manifest = load_model(folder).manifest
    except ModelError as e:
        problem = str(e)
    facts = model.comparison
    return Known(
        model.digest,
        model.name,
        folder,
        manifest,
        model.digest,
        default,
        names.get(model.based_on, model.based_on[:12]),
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
