"""Policies that were applied to a batch: what they accept leaves the queue, until a supervisor takes it back."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from inkshift.errors import SettingError
from inkshift.forms.trust import Policy
from inkshift.review.acceptance.promise import accepted_scores, seen
from inkshift.review.core.intake import ACCEPTED, NOT_ACCEPTED
from inkshift.review.core.queue import person
from inkshift.review.core.schema import Acceptance, Field, User, count_waiting, let_go
from inkshift.review.core.store import Store

_AT_ONCE = 500


def accept(store: Store, user_id: int, batch_id: int, policy: Policy) -> int:
    """Take the fields that a policy accepts, and nobody keyed yet, out of a batch's queue; how many.

    It is noted with the policy, and `take_back` brings them back. Raises SettingError for anybody but a supervisor and
    where there is nothing to accept.
    """
    fields = seen(store, batch_id)
    sure = accepted_scores(policy, fields) >= policy.threshold
    accepted = [one.id for one, is_sure in zip(fields, sure, strict=True) if is_sure and one.free]
    models = sa.select(User.id).where(User.role == "model")
    with store.writing() as session:
        _supervisor(session, user_id)
        noted = Acceptance(batch_id=batch_id, user_id=user_id, fields=0, time=store.clock())
        noted.policy = policy.model_dump(mode="json")
        session.add(noted)
        session.flush()
        for start in range(0, len(accepted), _AT_ONCE):
            ids = accepted[start : start + _AT_ONCE]
            unseen = sa.or_(Field.first_id.is_(None), Field.first_id.in_(models))
            free = sa.update(Field).where(Field.id.in_(ids), Field.status == "open", Field.waiting.is_(True), unseen)
            out = {"waiting": False, "urgency": ACCEPTED, "accepted_by": noted.id}
            done = session.execute(free.values(out), execution_options={"synchronize_session": False})
            noted.fields += done.rowcount  # type: ignore[attr-defined]
            let_go(session, sa.and_(Field.id.in_(ids), Field.accepted_by == noted.id))
        if not noted.fields:
            raise SettingError("no field that waits is accepted by this policy; nothing was changed")
        return noted.fields


def take_back(store: Store, user_id: int, batch_id: int, acceptance_id: int) -> None:
    """Bring the fields that a policy took out of a batch's queue back into it, and note who did.

    Raises SettingError for anybody but a supervisor, and where there is no such application or it was taken back.
    """
    with store.writing() as session:
        _supervisor(session, user_id)
        noted = session.get(Acceptance, acceptance_id, with_for_update=True)
        if noted is None or noted.batch_id != batch_id or noted.undone is not None:
            raise SettingError(f"policy {acceptance_id}: is not applied to this batch; nothing was changed")
        noted.undone, noted.undone_by_id = store.clock(), user_id
        mine = sa.update(Field).where(Field.accepted_by == acceptance_id)
        back = {"urgency": NOT_ACCEPTED, "accepted_by": None}
        session.execute(mine.values(back), execution_options={"synchronize_session": False})
        count_waiting(session, Field.batch_id == batch_id)


def acceptances(store: Store, batch_id: int) -> list[Acceptance]:
    """The policies that were applied to a batch, the newest first."""
    with store.reading() as session:
        both = joinedload(Acceptance.user), joinedload(Acceptance.undone_by)
        wanted = sa.select(Acceptance).where(Acceptance.batch_id == batch_id).order_by(Acceptance.id.desc())
        return list(session.scalars(wanted.options(*both)))


def _supervisor(session: Session, user_id: int) -> None:
    name, role = person(session, user_id)
    if role != "supervisor":
        raise SettingError(f"user {name!r}: a policy is applied by a supervisor, found a {role}")
