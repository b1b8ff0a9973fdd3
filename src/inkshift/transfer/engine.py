"""A study's runs on this machine's cores: sources first, a fresh process for each job, nothing finished run again.

What is known of a run lies in its folder, so that a study which was killed goes on from there. Another way of running
jobs (a cluster) has only to do what `jobs.run` does: take (key, job) pairs, call `work_on` on each somewhere that sees
the study's folder, and give back (key, problem).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inkshift import jobs
from inkshift.errors import DataError, InkshiftError, MissingExtraError, SettingError
from inkshift.files import locked, read_text
from inkshift.transfer.kinds import AnyPlan, AnyRun, kind_of
from inkshift.transfer.record import DONE, EPOCHS, ERROR, PACKAGE, WEIGHTS, write_json
from inkshift.transfer.results import read_json
from inkshift.transfer.spec import AnyStudy

Progress = Callable[[str, str | None], None]


@dataclass(frozen=True, slots=True)
class Job:
    """Runs that one process does: one run, or frozen ones that share a trunk. packed: keys of those to package."""

    runs: tuple[Any, ...]
    folder: Path
    device: str
    packed: frozenset[str]

    @property
    def key(self) -> str:
        return jobs.digest(*(run.key for run in self.runs))[:16]


def study_folder(study: AnyStudy, folder: str | Path | None = None) -> Path:
    """Where a study's runs lie: `runs/NAME` below the working folder unless another is given."""
    return Path(folder) if folder else Path("runs") / study.name


def finished(folder: Path, run: AnyRun) -> bool:
    return (folder / "runs" / run.key / DONE).is_file()


def run(
    study: AnyStudy,
    folder: Path,
    *,
    workers: int = 1,
    device: str = "cpu",
    progress: Progress = lambda key, problem: None,
) -> dict[str, str]:
    """Run all of a study that is not finished; returns the problem of each run that failed, by its key.

    progress: called with the key of each run as it ends, and its problem, None if it is finished.
    A run that fails costs no other; those that start from it fail as well, naming it, and so do those whose data are
    missing, damaged or not what the study began with. Raises SettingError where the folder holds another study.
    """
    need_extra()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise SettingError(f"{folder}: cannot be written ({e.strerror}); give another folder") from None
    with locked(folder / ".lock", folder):
        return _run(study, folder, workers, device, progress)


def _run(study: AnyStudy, folder: Path, workers: int, device: str, progress: Progress) -> dict[str, str]:
    kind = kind_of(study)
    planned = kind.plan(study)
    unfit = begin(study, planned, folder)
    problems: dict[str, str] = {}
    packed = _packed(study, planned)
    for stage in (planned.sources, planned.targets):
        todo = [one for one in stage if not finished(folder, one)]
        for done in _work(_jobs(todo, folder, device, packed), workers, unfit):
            for key, problem in done:
                progress(key, problem)
                if problem:
                    problems[key] = problem
    if not problems:
        shutil.rmtree(folder / "features", ignore_errors=True)
    if not unfit:
        kind.audit(planned, folder)
    return problems


def need_extra() -> None:
    """Raises MissingExtraError where torch or timm is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "timm", "scipy")):
        raise MissingExtraError("study", "running a study")


def begin(study: AnyStudy, planned: AnyPlan, folder: Path) -> dict[str, str]:
    """Write what the study is; returns the problem of each task whose data are missing, damaged or altered.

    Raises SettingError where the folder holds another study or cannot be written.
    """
    from inkshift.transfer.provenance import machine, versions

    path = folder / "index.json"
    before = read_json(path, "move it away and run the study again") if path.is_file() else {}
    if before and before.get("name") != study.name:
        raise SettingError(f"{folder}: holds the study {before.get('name')!r}, not {study.name!r}; give another folder")
    known = before.get("data", {})
    if not (isinstance(known, dict) and all(isinstance(f, dict) and "sha256" in f for f in known.values())):
        raise DataError(f"{path}: its data have no SHA-256; move it away and run the study again")
    kind = kind_of(study)
    data, problems = kind.checksums(planned)
    for task, splits in data.items():
        for name, facts in splits.items():
            was = known.get(f"{task} {name}", facts)["sha256"]
            if was != facts["sha256"]:
                problems[task] = (
                    f"{task} {name}: is not what this study began with (SHA-256 {was[:12]}..., now "
                    f"{facts['sha256'][:12]}...); restore it, or give another folder than {folder}"
                )
    found = {f"{task} {name}": facts for task, splits in data.items() for name, facts in splits.items()}
    entries = {"versions": versions(), "machine": machine(), "data": found | known}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, kind.index(study, planned) | entries)
        write_json(folder / "study.json", study.model_dump(mode="json", by_alias=True))
    except OSError as e:
        raise SettingError(f"{folder}: cannot be written ({e.strerror}); give another folder, or free its disk") from e
    return problems


def _packed(study: AnyStudy, planned: AnyPlan) -> frozenset[str]:
    if study.packed == "none":
        return frozenset()
    return frozenset(run.key for run in planned.targets if study.packed == "all" or run.replicate == 0)


def _jobs(runs: Iterable[AnyRun], folder: Path, device: str, packed: frozenset[str]) -> list[Job]:
    groups: dict[str, list[AnyRun]] = {}
    for one in runs:
        alike = one.config() | {"replicate": None, "seed": None}
        key = json.dumps(alike, sort_keys=True) if one.batched else one.key
        groups.setdefault(key, []).append(one)
    return [Job(tuple(group), folder, device, packed) for group in groups.values()]


def _work(todo: Sequence[Job], workers: int, unfit: dict[str, str]) -> Iterable[list[tuple[str, str | None]]]:
    by_key = {}
    for job in todo:
        broken = [unfit[str(task)] for task in (job.runs[0].task, job.runs[0].source_task) if str(task) in unfit]
        if broken:
            yield fail(job, broken[0])
        else:
            by_key[job.key] = job

    def crashed(key: str) -> list[tuple[str, str | None]]:
        problem = "its process died twice; free memory (fewer workers, smaller batch), then run the study again"
        return fail(by_key[key], problem)

    running = jobs.run(work_on, by_key.items(), workers=workers, fresh=True, on_crash=crashed)
    with closing(running):
        for _, results in running:
            yield results


def work_on(job: Job) -> list[tuple[str, str | None]]:
    """Do the runs of a job, each into its folder; returns (key, problem or None) for each."""
    try:
        return kind_of(job.runs[0]).do(job)
    except (InkshiftError, OSError) as e:
        return fail(job, str(e))
    except Exception as e:  # a fault of ours or of a library must not cost the other runs
        return fail(job, f"{type(e).__name__}: {e}")


def train_and_keep(job: Job) -> list[tuple[str, str | None]]:
    """Train the networks of a job of characters, and write what is kept of them."""
    from inkshift.models.export import weights_bytes
    from inkshift.transfer.deliver import save_run_package
    from inkshift.transfer.frozen import Trained, train_frozen
    from inkshift.transfer.record import write_atomic
    from inkshift.transfer.run import apply_as_is, train_run

    first = job.runs[0]
    results: Iterable[Trained]
    if first.batched:
        results = train_frozen(job.runs, job.folder, job.device)
    else:
        results = [(apply_as_is if first.regime == "as-is" else train_run)(first, job.folder, job.device)]
    done: list[tuple[str, str | None]] = []
    for one, (net, record, stopped) in zip(job.runs, results, strict=True):
        if isinstance(stopped, InkshiftError):
            done += fail(replace(job, runs=(one,)), str(stopped))
            continue
        net.cpu()
        if one.role == "source":
            write_atomic(record.folder / WEIGHTS, weights_bytes(net))
        if one.key in job.packed:
            save_run_package(one, net, record, record.folder / PACKAGE)
        record.finish(stopped)
        done.append((one.key, None))
    return done


def fail(job: Job, problem: str) -> list[tuple[str, str | None]]:
    """Leave the problem in the folder of each run of a job that is not finished."""
    results: list[tuple[str, str | None]] = []
    for one in job.runs:
        if finished(job.folder, one):
            results.append((one.key, None))
            continue
        folder = job.folder / "runs" / one.key
        message = problem if str(folder) in problem else f"{folder}: {problem}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / ERROR, {"error": message})
        except OSError:
            message += " (its error.json could not be written)"
        results.append((one.key, message))
    return results


def study_digest(study: AnyStudy, folder: Path) -> str:
    """Names the outcome: SHA-256 over the digests of all runs. Raises InkshiftError while some are not finished."""
    parts = []
    for one in kind_of(study).plan(study).runs:
        path = folder / "runs" / one.key / DONE
        if not path.is_file():
            raise InkshiftError(f"{path.parent}: not finished, so the study has no digest; run it again")
        parts.append(f"{one.key} {read_json(path).get('digest')}")
    return jobs.digest(*sorted(parts))


def epochs_planned(planned: AnyPlan) -> int:
    """What `epochs_done` comes to when all is finished and no run stops early."""
    return sum(_epochs(one) for one in planned.runs)


def epochs_done(planned: AnyPlan, folder: Path) -> int:
    """Epochs that are on disk; a finished run counts whole, however early it stopped."""
    return sum(_epochs(one) if finished(folder, one) else min(_rows(folder, one), _epochs(one)) for one in planned.runs)


@contextmanager
def watching(planned: AnyPlan, folder: Path, tell: Callable[[int], object]) -> Iterator[None]:
    """Tell every two seconds, and at the end, how many epochs are on disk (`epochs_done`)."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(2):
            tell(epochs_done(planned, folder))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        tell(epochs_done(planned, folder))


def _epochs(one: AnyRun) -> int:
    return 1 if one.batched or one.regime == "as-is" else one.protocol.epochs


def _rows(folder: Path, one: AnyRun) -> int:
    try:
        return max(0, len(read_text(folder / "runs" / one.key / EPOCHS).splitlines()) - 1)
    except (OSError, ValueError):
        return 0


def status(planned: AnyPlan, folder: Path) -> list[dict[str, Any]]:
    """For each arm: how many runs are finished, begun and failed, epochs on disk, mean score of the finished ones."""
    return [_arm_status(name, arm, runs, folder) for name, arm, runs in planned.groups]


def _arm_status(name: str, regime: str, runs: tuple[AnyRun, ...], folder: Path) -> dict[str, Any]:
    done = [one for one in runs if finished(folder, one)]
    errors = [folder / "runs" / one.key / ERROR for one in runs]
    problems = [str(read_json(path).get("error")) for path in errors if path.is_file()]
    epochs = [_rows(folder, one) for one in runs]
    kind = kind_of(runs[0])
    return {
        "set": name,
        "regime": regime,
        "runs": len(runs),
        "finished": len(done),
        "begun": sum(bool(count) for count in epochs) - len(done),
        "failed": len(problems),
        "epochs": f"{sum(epochs)}/{sum(one.protocol.epochs for one in runs)}",
        kind.measure: sum(kind.score(folder / "runs" / one.key) for one in done) / len(done) if done else None,
        "problems": problems,
    }
