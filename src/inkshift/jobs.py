"""Keyed, resumable work on this machine's cores: warm worker processes, and a journal of what is finished."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Generic, TypeVar

from inkshift.errors import InkshiftError, InputError, SettingError
from inkshift.scratch import Names

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4  # items taken from the source for each worker
_SYNC_SECONDS = 1.0
_TO_END = 5.0  # seconds that a worker has to end by itself once its work is done
_MARK = b'{"fingerprint": '


def digest(*parts: str | bytes) -> str:
    """SHA-256 of the parts, each with its length before it: 64 hex digits; ("ab", "c") is not ("a", "bc")."""
    return digest_of(parts)


def digest_of(parts: Iterable[str | bytes]) -> str:
    """As `digest`, of parts that come one after another."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()


class Journal:
    """Finished results on disk: JSON Lines, `{"fingerprint"}` first, then a `{"key", "crc", "result"}` for each.

    A journal of the same fingerprint (a digest of the settings) is taken up, from a torn or damaged line on dropped;
    one of another fingerprint is started anew. A result outlives the process as soon as `add` returns,
    and a power cut after at most a second of further work. Memory does not grow with the keys.

    Raises InputError if `path` holds something else or cannot be written.
    """

    def __init__(self, path: str | Path, fingerprint: str) -> None:
        self._path = Path(path)
        self._offsets = Names()
        self._synced = time.monotonic()
        with self._writing():
            self._path.touch()
            self._file = self._path.open("r+b")
        try:
            self._replay(_line({"fingerprint": fingerprint}))
        except BaseException:
            with suppress(OSError):  # a full disk takes what is left to be written no more than before
                self._file.close()
            raise

    def _replay(self, header: bytes) -> None:
        first = self._file.readline()
        if not (first.startswith(_MARK) or _MARK.startswith(first)):
            raise InputError(f"{self._path}: expected a journal of inkshift, found another file; move it away")
        end = len(header) if first == header else 0
        for line in self._file if end else ():
            try:
                entry = json.loads(line)
                key, sound = entry["key"], entry["crc"] == _crc(entry["result"])
            except (ValueError, KeyError, TypeError, RecursionError):
                break
            if not (isinstance(key, str) and sound and line.endswith(b"\n")):
                break
            self._offsets.put(key, end)
            end += len(line)
        with self._writing():
            self._file.truncate(end)
            if not end:
                self._append(header)

    def __contains__(self, key: str) -> bool:
        return self._offsets.get(key) is not None

    def __getitem__(self, key: str) -> Any:
        """The result as JSON gives it back (a tuple is a list). Raises KeyError if it is not finished."""
        offset = self._offsets.get(key)
        if offset is None:
            raise KeyError(key)
        self._file.seek(offset)
        return json.loads(self._file.readline())["result"]

    def add(self, key: str, result: Any) -> None:
        """Keep a result that JSON can hold. Raises InputError if it cannot be written (a full disk)."""
        line = _line({"key": key, "crc": _crc(result), "result": result})
        with self._writing():
            self._offsets.put(key, self._append(line))
            if time.monotonic() - self._synced >= _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()

    def close(self, remove: bool = False) -> None:
        """Leave the file complete on disk, or remove it once the results are safe elsewhere."""
        if not self._file.closed:
            with self._writing(), self._file:
                os.fsync(self._file.fileno())
        if remove:
            self._path.unlink(missing_ok=True)

    def _append(self, line: bytes) -> int:
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(line)
        self._file.flush()
        return start

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise InputError(f"{self._path}: cannot be written ({e.strerror}); check its folder and disk") from e


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _crc(result: Any) -> int:
    """What a damaged result gives itself away by."""
    return zlib.crc32(json.dumps(result).encode())


def run(
    work: Callable[[T], R],
    items: Iterable[tuple[str, T]],
    *,
    workers: int = 1,
    setup: Callable[..., None] | None = None,
    setup_args: tuple[Any, ...] = (),
    journal: Journal | None = None,
    on_crash: Callable[[str], R] | None = None,
    fresh: bool = False,
) -> Generator[tuple[str, R], None, None]:
    """Yield (key, work(item)) for each (key, item), in the order of `items`, which are taken a few ahead.

    One worker is this process; more are warm processes, each calling `setup(*setup_args)` first; then `work`,
    `setup`, items and results must be picklable. fresh: a new process for each item, also with one worker.
    Keys are unique. With a journal, finished items are not worked on again and every result is what JSON gives back,
    on the first run as on a later one.

    A worker process that dies costs its own item a second try, with no other item beside it; if that dies
    too, the result is `on_crash(key)`, or InkshiftError without `on_crash`. What `work` raises is raised
    here after the results before it. Any error, and closing the generator (wrap it in `contextlib.closing`),
    ends all workers at once. Raises SettingError if `workers` is below 1.
    """
    if workers < 1:
        raise SettingError(f"workers: expected 1 or more, found {workers}; leave it out for 1")
    if workers == 1 and not fresh:
        return _run_here(work, items, setup, setup_args, journal)
    return work_through(_Processes(workers, (work, setup, setup_args), journal, on_crash, fresh), items)


def _run_here(
    work: Callable[[T], R],
    items: Iterable[tuple[str, T]],
    setup: Callable[..., None] | None,
    setup_args: tuple[Any, ...],
    journal: Journal | None,
) -> Generator[tuple[str, R], None, None]:
    if setup is not None:
        setup(*setup_args)
    for key, item in items:
        if journal is None:
            yield key, work(item)
            continue
        if key not in journal:
            journal.add(key, work(item))
        yield key, journal[key]


def work_through(crew: Crew[T, R], items: Iterable[tuple[str, T]]) -> Generator[tuple[str, R], None, None]:
    """What a crew makes of each item, as `run` gives it."""
    source = iter(items)
    taken: deque[Job[T, R]] = deque()
    try:
        while True:
            for key, item in islice(source, _AHEAD * crew.size - len(taken)):
                taken.append(crew.accept(key, item))
            crew.hand_out()
            if not taken:
                return
            if ahead := taken[0].done:
                job = taken.popleft()
                yield job.key, job.outcome(crew.journal)
            crew.collect(timeout=0 if ahead else None)
    finally:
        crew.stop()


@dataclass(slots=True, eq=False)
class Job(Generic[T, R]):
    key: str
    item: T
    crashes: int = 0
    done: bool = False
    result: R | None = None
    error: Exception | None = None

    def finish(self, result: R, journal: Journal | None) -> None:
        self.done = True
        if journal is None:
            self.result = result
        else:
            journal.add(self.key, result)

    def fail(self, error: Exception) -> None:
        self.done, self.error = True, error

    def outcome(self, journal: Journal | None) -> Any:
        """The result, or the error is raised."""
        if self.error is not None:
            raise self.error
        return self.result if journal is None else journal[self.key]


class Crew(Generic[T, R], ABC):
    """Workers with one job each at a time, so that a death names its job. duty: what each works by."""

    def __init__(
        self,
        size: int,
        duty: tuple[Any, ...],
        journal: Journal | None,
        on_crash: Callable[[str], R] | None,
        fresh: bool,
    ) -> None:
        self.size, self.duty, self.journal, self.fresh = size, duty, journal, fresh
        self.todo: deque[Job[T, R]] = deque()
        self._on_crash = on_crash

    def accept(self, key: str, item: T) -> Job[T, R]:
        job: Job[T, R] = Job(key, item, done=self.journal is not None and key in self.journal)
        if not job.done:
            self.todo.append(job)
        return job

    def may_begin(self, running: Iterable[Job[T, R] | None]) -> bool:
        """Whether the next job may begin beside those that run. One that has crashed runs alone: what killed its
        worker may be the memory that others held."""
        busy = [job for job in running if job is not None]
        return bool(self.todo) and (not busy or not any(job.crashes for job in (*busy, self.todo[0])))

    def answered(self, job: Job[T, R] | None, good: bool, value: Any) -> None:
        """Take what a worker sent: a result or an error, of its job, or of its own beginning where it has none."""
        if job is not None and good:
            job.finish(value, self.journal)
        elif job is not None:
            job.fail(value)
        elif not good:
            raise value

    def crashed(self, job: Job[T, R], how: str) -> None:
        """A worker died of its job, or with it: once more, or it is over."""
        job.crashes += 1
        if job.crashes == 1:
            self.todo.appendleft(job)
        elif self._on_crash is not None:
            job.finish(self._on_crash(job.key), self.journal)
        else:
            job.fail(InkshiftError(f"{job.key}: its worker died twice ({how}); free memory or leave it out"))

    @abstractmethod
    def hand_out(self) -> None:
        """Give jobs to idle workers, and start workers while jobs are left over."""

    @abstractmethod
    def collect(self, timeout: float | None) -> None:
        """Take the answers that are there, or come within `timeout` seconds (None: wait for one)."""

    @abstractmethod
    def stop(self) -> None:
        """End all workers at once."""


@dataclass(slots=True, eq=False)
class _Worker(Generic[T, R]):
    process: BaseProcess
    link: Connection[Any, Any]
    ready: bool = False
    job: Job[T, R] | None = None


class _Processes(Crew[T, R]):
    """Processes of this machine, each with a pipe of its own."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._workers: list[_Worker[T, R]] = []

    def hand_out(self) -> None:
        for worker in self._workers:
            if worker.ready and worker.job is None and self.may_begin(each.job for each in self._workers):
                worker.job = self.todo.popleft()
                with suppress(ConnectionError):  # it died idle; collect() sees that
                    worker.link.send(worker.job.item)
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(self.size - len(self._workers), len(self.todo) - starting)):
            self._workers.append(_start(self.duty))

    def collect(self, timeout: float | None) -> None:
        for link in wait([worker.link for worker in self._workers], timeout):
            worker = next(worker for worker in self._workers if worker.link is link)
            try:
                good, value = worker.link.recv()
            except (EOFError, ConnectionError):
                self._bury(worker)
                continue
            job, worker.job = worker.job, None
            self.answered(job, good, value)
            worker.ready = True
            if job is not None and self.fresh:
                self._workers.remove(worker)
                worker.link.close()  # it ends by itself, and takes back what its libraries left with the system
                worker.process.join(timeout=_TO_END)
                _end(worker)

    def _bury(self, worker: _Worker[T, R]) -> None:
        self._workers.remove(worker)
        worker.process.join(timeout=1)  # so that the status is its own
        status = _end(worker)
        if not worker.ready:
            raise InkshiftError(
                f"a worker process ended while it started (exit status {status}); "
                "call from under  if __name__ == '__main__':  or use 1 worker"
            )
        if worker.job is not None:
            self.crashed(worker.job, f"exit status {status}")

    def stop(self) -> None:
        while self._workers:
            _end(self._workers.pop())


def _start(duty: tuple[Any, ...]) -> _Worker[Any, Any]:
    context = multiprocessing.get_context("spawn")
    link, far = context.Pipe()
    process = context.Process(target=_serve, args=(far, *duty), daemon=True)
    process.start()
    far.close()  # the only copy left is the worker's, so its death ends the link
    return _Worker(process, link)


def _end(worker: _Worker[Any, Any]) -> int | None:
    worker.process.kill()
    worker.process.join()
    worker.link.close()
    return worker.process.exitcode


def _serve(
    link: Connection[Any, Any],
    work: Callable[[Any], Any],
    setup: Callable[..., None] | None,
    setup_args: tuple[Any, ...],
) -> None:
    """The life of a worker process: set up, say so, then an answer (good, value) for each item."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if setup is not None:
            setup(*setup_args)
    except Exception as e:
        link.send((False, portable(e)))
        return
    link.send((True, None))
    while True:
        try:
            item = link.recv()
        except EOFError:
            return
        try:
            link.send((True, work(item)))
        except Exception as e:
            link.send((False, portable(e)))


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers, so they watch it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def end_with(parent: int, end: Callable[[], object]) -> None:
    """Call `end` once the process that started this one is gone, in a thread of its own."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        end()

    threading.Thread(target=watch, daemon=True).start()


def portable(error: Exception) -> Exception:
    """The error itself where it survives the way to another process, else one that says the same."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return InkshiftError(f"{type(error).__name__}: {error}")
    return error
