"""Keyed, resumable work on the machines of a Ray cluster: what `jobs.run` does with processes of this machine.

The same items, journal and order of results; only who works is another. An item is a name of what is to be done, so
that a page is read where it lies, by a worker that stays warm, and not sent through this process. A worker that dies,
alone or with its node, costs what it held a second try on another.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inkshift import jobs
from inkshift.errors import InkshiftError, MissingExtraError, SettingError
from inkshift.jobs import Crew, Job, portable

if TYPE_CHECKING:
    import ray

T = TypeVar("T")
R = TypeVar("R")

LOCAL = "local"
"""The address of a cluster that is started on this machine, and ends with the work."""
_SECONDS = 10.0  # that the head of a cluster has to answer
_BEGINNINGS = 3  # that may be lost for each worker before any has begun
_STORE = 256 * 2**20  # bytes in which a cluster of this machine alone keeps results on their way


def run(
    work: Callable[[T], R], items: Iterable[tuple[str, T]], *, address: str = "", workers: int = 1, **how: Any
) -> Generator[tuple[str, R], None, None]:
    """As `jobs.run`, whose other arguments `how` are, on the Ray cluster at `address`: `LOCAL`, or what `ray.init`
    takes, such as `head:6379`; empty for processes of this machine.

    workers: processes over all nodes, 0 for one a core of the cluster. All nodes must see the files by the same
    names, and have the same version of inkshift. Raises MissingExtraError without Ray, SettingError where no cluster
    answers, InkshiftError where a node has another version.
    """
    if not address:
        return jobs.run(work, items, workers=workers, **how)
    if workers < 0:
        raise SettingError(f"workers: expected 0 or more, found {workers}; 0 is one a core of the cluster")
    ray_ = _connected(address, workers)
    size = workers or max(1, int(ray_.cluster_resources().get("CPU", 1)))
    duty = (_here(), work, how.get("setup"), how.get("setup_args", ()))
    hands: Crew[T, R] = _Hands(ray_, size, duty, how.get("journal"), how.get("on_crash"), how.get("fresh", False))
    return jobs.work_through(hands, items)


def _connected(address: str, workers: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of our own sends nothing anywhere
    # That it leaves the variables of accelerators alone; else it warns that it will one day.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = "."  # what it tells of a node that died would go among the readings
    try:
        import ray
    except ImportError:
        raise MissingExtraError("cluster", "work on a Ray cluster") from None
    if address != LOCAL:
        _need_answer(address)
    how: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": False}
    if address == LOCAL:
        how |= {"num_cpus": workers or None, "include_dashboard": False, "object_store_memory": _STORE}
    try:
        ray.init(address, **how)  # also of a cluster of its own: else it would join one that runs here already
    except Exception as e:  # Ray raises what its layers raise
        raise _no_answer(address, (str(e).strip().splitlines() or [type(e).__name__])[0]) from None
    return ray


def _need_answer(address: str) -> None:
    """Raises SettingError where nothing answers: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise SettingError(f"--address {address}: expected HOST:PORT, such as head:6379, as `ray start` names it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError) as e:
        raise _no_answer(address, str(e)) from None


def _no_answer(address: str, said: str) -> SettingError:
    if address == LOCAL:
        return SettingError(f"--engine ray: no cluster starts on this machine ({said}); leave it out to work without")
    return SettingError(
        f"--address {address}: no Ray cluster answers there ({said}); start one with `ray start --head`, or leave "
        "--address out to work on this machine"
    )


def _here() -> dict[str, str]:
    """What a worker must have as this process has it."""
    data = {"INKSHIFT_DATA": os.environ["INKSHIFT_DATA"]} if "INKSHIFT_DATA" in os.environ else {}
    return {"inkshift": version("inkshift"), "folder": str(Path.cwd()), **data}


class _Hand:
    """A worker process somewhere on the cluster."""

    def __init__(self, duty: tuple[Any, ...]) -> None:
        self._there, self._work, self._setup, self._setup_args = duty

    def begin(self) -> tuple[bool, Any]:
        """Set up; the error where that fails."""
        wanted, folder = self._there["inkshift"], self._there["folder"]
        try:
            if (own := version("inkshift")) != wanted:
                raise InkshiftError(f"has inkshift {own}, expected {wanted}; install that there, or leave the node out")
            if not Path(folder).is_dir():
                raise InkshiftError(f"does not see the folder {folder}; all nodes need the files under the same names")
            os.chdir(folder)
            os.environ |= {key: value for key, value in self._there.items() if key.isupper()}
            if self._setup is not None:
                self._setup(*self._setup_args)
        except Exception as e:
            return False, _of_node(e)
        return True, None

    def do(self, item: Any) -> tuple[bool, Any]:
        try:
            return True, self._work(item)
        except Exception as e:
            return False, _of_node(e)


def _of_node(error: Exception) -> Exception:
    """The error as the command that hands out gets it; one for a user names the node where it is to be mended."""
    if isinstance(error, InkshiftError):
        error.args = (f"node {platform.node()}: {error}",)
    return portable(error)


class _Hands(Crew[T, R]):
    """Workers of a cluster."""

    def __init__(self, ray_: Any, *given: Any) -> None:
        super().__init__(*given)
        self._ray = ray_
        self._actor = ray_.remote(num_cpus=1, max_restarts=0)(_Hand)
        self._told = ray_.put(self.duty)
        self._idle: list[Any] = []
        self._begun = self._lost = 0
        errors = ray_.exceptions
        # How a worker's death shows: it is gone, was killed for its memory, or its node took the result with it.
        self._dead = (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
        )
        # What is awaited: whose answer it is, and to which job; None where the worker begins.
        self._awaited: dict[ray.ObjectRef[Any], tuple[Any, Job[T, R] | None]] = {}

    def hand_out(self) -> None:
        while self._idle and self.may_begin(job for _, job in self._awaited.values()):
            if self.todo[0].crashes:
                self._idle = self._living()  # with one that died idle, the second try would be none
                if not self._idle:
                    break
            hand, job = self._idle.pop(), self.todo.popleft()
            self._awaited[hand.do.remote(job.item)] = hand, job
        beginning = sum(job is None for _, job in self._awaited.values())
        for _ in range(min(self.size - len(self._awaited) - len(self._idle), len(self.todo) - beginning)):
            hand = self._actor.remote(self._told)
            self._awaited[hand.begin.remote()] = hand, None

    def _living(self) -> list[Any]:
        """The idle workers that answer."""
        asked = {hand.__ray_ready__.remote(): hand for hand in self._idle}
        living = []
        for answer in self._ray.wait(list(asked), num_returns=len(asked), timeout=_SECONDS)[0]:
            with suppress(self._ray.exceptions.RayError):
                self._ray.get(answer)
                living.append(asked.pop(answer))
        for hand in asked.values():
            self._ray.kill(hand)
        return living

    def collect(self, timeout: float | None) -> None:
        if not self._awaited:
            return
        # All that is there at once: to look through thousands that are awaited for each answer would take longer than
        # the work.
        awaited = list(self._awaited)
        self._ray.wait(awaited, num_returns=1, timeout=timeout)
        for answer in self._ray.wait(awaited, num_returns=len(awaited), timeout=0)[0]:
            hand, job = self._awaited.pop(answer)
            try:
                good, value = self._ray.get(answer)
            except self._ray.exceptions.RayTaskError as e:
                good, value = False, e  # what it made could not be sent
            except self._dead as e:
                self._ray.kill(hand)  # where it is only out of reach, its core is free
                self._bury(job, e)
                continue
            self.answered(job, good, value)
            self._begun += job is None
            if job is None or not self.fresh:
                self._idle.append(hand)
            else:
                self._ray.kill(hand)

    def _bury(self, job: Job[T, R] | None, error: Exception) -> None:
        if job is not None:
            self.crashed(job, type(error).__name__)
            return
        self._lost += 1  # alone, or its node before it was ready
        if getattr(error, "actor_init_failed", False) or (not self._begun and self._lost > _BEGINNINGS * self.size):
            said = (str(error).strip().splitlines() or ["no reason given"])[-1].strip()
            where = re.search(r"\bip=([0-9a-f.:]+)", str(error))
            node = f"node {where[1]}" if where else "the cluster"
            raise InkshiftError(f"{node}: a worker could not begin ({said}); install inkshift there as it is here")

    def stop(self) -> None:
        self._ray.shutdown()
