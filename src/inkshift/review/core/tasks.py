"""Work in the background: each task is a process of its own that writes into the database how far it is.

One process of a server keeps the tasks: it starts those that the database holds for running, and stops those that it
holds for stopped. Any other may ask for one, by a row.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.errors import InkshiftError, SettingError
from inkshift.jobs import end_with
from inkshift.review.core import store as stores
from inkshift.review.core.schema import TaskRecord, TaskStatus
from inkshift.review.core.store import Store, in_turn

WHERE_TASKS_WRITE = ("tasks", "models", "studies")
ADDRESS = "INKSHIFT_REVIEW_DB"
LOG = "log.txt"
# Seconds after which who keeps the tasks looks again for what others asked.
LOOK = 0.5
_LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a task is given. about: as it was started with; folder: its own, kept when it goes on after a stop.

    say: writes how far it is, 0 to 1 or None, and a few words.
    """

    store: Store
    files: Path
    folder: Path
    about: Mapping[str, Any]
    say: Callable[[float | None, str], None]

    def count(self, done: int, whole: int) -> None:
        """Write that so many of them all are done."""
        self.say(done / whole, f"{done} / {whole}")


Job = Callable[[TaskContext], dict[str, Any]]
KINDS: dict[str, str] = {
    "read": "inkshift.review.batches.reading:read",
    "teach": "inkshift.review.teach:teach",
    "reread": "inkshift.review.batches.reading:reread",
    "study": "inkshift.review.studies:study",
}


class Tasks:
    """The tasks of this server. files: the folder that `task_folder` is in. keeps: this process keeps them, see above;
    of a server's processes one.

    Those that the database holds for running as it begins have lost their server: they count as interrupted.
    """

    def __init__(self, store: Store, files: Path, *, keeps: bool = True) -> None:
        self._store, self._files, self._keeps = store, files, keeps
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._told: set[int] = set()  # of these, those that were told to stop
        self._watchers: list[threading.Thread] = []
        self._turn = threading.Lock()
        self._closed = threading.Event()
        if keeps:
            with store.writing() as session:
                running = sa.update(TaskRecord).where(TaskRecord.status == "running")
                session.execute(running.values(status="interrupted", ended=store.clock()))

    def start(self, kind: str, about: Mapping[str, Any]) -> int:
        """Begin a task; its id. Raises SettingError where one of that kind is running."""
        with self._store.writing() as session:
            _one_at_a_time(session, kind)
            task = TaskRecord(kind=kind, about=dict(about), started=self._store.clock())
            session.add(task)
            session.flush()
            task_id = task.id
            for made in WHERE_TASKS_WRITE:
                set_aside(self._files / made / str(task_id))
        self.look()
        return task_id

    def go_on(self, task_id: int) -> None:
        """Begin a task that ended without being done once more, in its folder, with what it was started with.

        Raises SettingError where it runs or is done, or another of its kind runs.
        """
        with self._store.writing() as session:
            task = session.get(TaskRecord, task_id, with_for_update=True)
            if task is None or task.status in ("running", "done"):
                raise SettingError(f"task {task_id}: cannot go on; expected one that was stopped or failed")
            _one_at_a_time(session, task.kind)
            task.status, task.ended, task.note = "running", None, ""
        self.look()

    def stop(self, task_id: int) -> None:
        """Stop a task and what it started; it may go on later. One that does not run stays as it is."""
        _end(self._store, task_id, "stopped", "")
        self.look()

    def look(self) -> None:
        """Start what is to run and does not, and stop what does not stand any more; nothing where another process
        keeps the tasks."""
        if not self._keeps:
            return
        with self._turn, self._store.reading() as session:
            wanted = set(session.scalars(sa.select(TaskRecord.id).where(TaskRecord.status == "running")))
            over = sa.select(TaskRecord.id).where(TaskRecord.id.in_(self._running), TaskRecord.status == "stopped")
            for task_id in set(session.scalars(over)) - self._told:
                self._told.add(task_id)
                _signal(self._running[task_id], signal.SIGTERM)
            if not self._closed.is_set():
                for task_id in wanted - set(self._running):
                    try:
                        self._begin(task_id)
                    except OSError as e:
                        why = f"it cannot be started ({e.strerror}); free room there, and go on"
                        _end(self._store, task_id, "failed", why)

    def keep(self) -> None:
        """Look again and again, for what other processes ask, until this is closed."""
        while not self._closed.wait(LOOK):
            try:
                self.look()
            except (sa.exc.SQLAlchemyError, OSError) as e:  # the database may come back
                print(f"tasks: {str(e).splitlines()[0]}", file=sys.stderr)

    def close(self) -> None:
        """Stop all of them, as the server stops; they count as interrupted."""
        self._closed.set()
        with self._turn:
            running, watchers = list(self._running.items()), self._watchers
        for task_id, process in running:
            _end(self._store, task_id, "interrupted", "")
            _signal(process, signal.SIGTERM)
        for watcher in watchers:
            watcher.join()

    def _begin(self, task_id: int) -> None:
        folder = task_folder(self._files, task_id)
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "inkshift.review.core.tasks", str(task_id), str(self._files)]
        with (folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, ADDRESS: self._store.engine.url.render_as_string(hide_password=False)},
                start_new_session=True,
            )
        watcher = threading.Thread(target=self._watch, args=(task_id, process), daemon=True)
        self._running[task_id] = process
        self._watchers = [one for one in self._watchers if one.is_alive()] + [watcher]
        watcher.start()

    def _watch(self, task_id: int, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        with self._turn:
            told = task_id in self._told
            self._told.discard(task_id)
            try:
                if not told:
                    _end(self._store, task_id, "failed", _last_line(task_folder(self._files, task_id) / LOG))
            finally:
                del self._running[task_id]
        self.look()  # somebody may have let it go on meanwhile: two must not work in one folder


def set_aside(path: Path) -> None:
    """Move what another database left in a folder that is to be a new one's: ids begin at 1 in each."""
    if path.exists():
        path.rename(path.with_name(f"{path.name}-before-{time.time_ns()}"))


def task_folder(files: Path, task_id: int) -> Path:
    return files / "tasks" / str(task_id)


def tasks(store: Store, kind: str) -> list[TaskRecord]:
    """The tasks of a kind, the newest first."""
    with store.reading() as session:
        return list(
            session.scalars(sa.select(TaskRecord).where(TaskRecord.kind == kind).order_by(TaskRecord.id.desc()))
        )


def _one_at_a_time(session: Session, kind: str) -> None:
    in_turn(session, "tasks")
    if (
        session.scalar(sa.select(TaskRecord.id).where(TaskRecord.kind == kind, TaskRecord.status == "running"))
        is not None
    ):
        raise SettingError(f"{kind}: one is running already; wait for it, or stop it first")


def _signal(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    """Signal the process and all it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, what)


def _end(store: Store, task_id: int, status: TaskStatus, note: str, result: dict[str, Any] | None = None) -> bool:
    """Note how a task ended, where it is running as far as the database knows."""
    changed: dict[str, Any] = {"status": status, "ended": store.clock()}
    if note:
        changed["note"] = note[:_LONGEST_NOTE]
    if result is not None:
        changed |= {"result": result, "share": 1.0}
    with store.writing() as session:
        done = session.execute(
            sa.update(TaskRecord).where(TaskRecord.id == task_id, TaskRecord.status == "running").values(**changed)
        )
        return bool(done.rowcount)  # type: ignore[attr-defined]


def _last_line(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line), "")


def run(store: Store, task_id: int, files: Path) -> int:
    """Do a task in this process; 0 where it was done."""
    found = store.get(TaskRecord, task_id)
    if found is None:
        raise SettingError(f"task {task_id}: is not in the database; start it from the server")
    module, function = KINDS[found.kind].split(":")
    job: Job = getattr(importlib.import_module(module), function)

    def say(share: float | None, note: str) -> None:
        with store.writing(durable=False) as session:
            values = {"share": share, "note": note[:_LONGEST_NOTE]}
            session.execute(sa.update(TaskRecord).where(TaskRecord.id == task_id).values(**values))

    try:
        result = job(TaskContext(store, files, task_folder(files, task_id), found.about, say))
    except InkshiftError as e:
        _end(store, task_id, "failed", str(e))
        return 1
    _end(store, task_id, "done", "", result)
    return 0


def main(arguments: Sequence[str]) -> int:
    task_id, files = arguments
    # With all that it started: somebody may go on with the task elsewhere.
    end_with(os.getppid(), lambda: os.killpg(os.getpgrp(), signal.SIGTERM))
    os.nice(10)  # people who key come first
    with closing(stores.open(os.environ[ADDRESS])) as store:
        store.files = Path(files).resolve()
        return run(store, int(task_id), Path(files))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
