"""A study's runs on this machine's cores: sources first, a fresh process for each job, nothing finished run again.

What is known of a run lies in its folder, so that a study which was killed goes on from there. Another way of running
jobs (a cluster) has only to do what `jobs.run` does: take (key, job) pairs, call `work_on` on each somewhere that sees
the study's folder, and give back (key, problem).
"""

from __future__ import annotations

import json
import platform
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Protocol

from inkshift import jobs
from inkshift.cluster import run as run_items
from inkshift.errors import DataError, InkshiftError, MissingExtraError, SettingError, lacks
from inkshift.files import cannot_write, locked, read_text, reason
from inkshift.studies.record import DONE, EPOCHS, ERROR, read_json, write_json
from inkshift.studies.spec import AnyStudy

Outcome = list[tuple[str, str | None]]
# By task and split, how many items there are and their SHA-256.
Checksums = dict[str, dict[str, dict[str, Any]]]
START_SECONDS = 8.0  # of a process that imports torch and timm
_PACKAGES = ("inkshift", "torch", "torchvision", "timm", "numpy", "scipy", "opencv-python-headless")


@dataclass(frozen=True, kw_only=True)
class AnyRun:
    """A run, of whichever kind: see `characters.plan.Run` and `numbers.plan.NumberRun`, which say what it learns from
    and is tested on, and how it is trained. seed: of its initial weights and the order of its batches; the same for all
    regimes of a replicate, so that they differ in the regime alone."""

    kind: ClassVar[str]

    regime: str
    task: Any
    source_task: Any = None
    replicate: int
    seed: int
    protocol: Any

    def config(self) -> dict[str, Any]:
        """The settings as `config.json` has them: those that the run's numbers depend on, and no other."""
        raise NotImplementedError

    @cached_property
    def key(self) -> str:
        """Names the run and its folder: the first 16 hex digits of the SHA-256 of its settings."""
        return jobs.digest(json.dumps(self.config(), sort_keys=True))[:16]

    @property
    def batched(self) -> bool:
        """Whether only a final layer learns on features that never change, so that replicates train together."""
        return False


class AnyPlan(Protocol):
    """The runs of a study, of whichever kind, and how a table groups them: (set, arm, runs)."""

    @property
    def sources(self) -> tuple[AnyRun, ...]: ...
    @property
    def targets(self) -> tuple[AnyRun, ...]: ...
    @property
    def runs(self) -> tuple[AnyRun, ...]: ...
    @property
    def groups(self) -> Sequence[tuple[str, str, tuple[AnyRun, ...]]]: ...


@dataclass(frozen=True)
class Kind:
    """What a kind of study does in its own way; keys, jobs, folders and going on are one for all.

    measure: what its runs are told apart by. plan: of a study, all its runs; index: of the two, what `index.json` says.
    checksums: of a plan, the data of each task and split, and by task why they cannot be had. do: the runs of a group,
    each into its folder. score: the measure of a finished run, from its folder. estimate: of study, plan, folder and
    workers, what is left to do: time and disk. report: write that of a study's folder; its path. audit: of a plan and
    folder, what is looked into once, when all data are as they should be.
    """

    measure: str
    plan: Callable[[Any], AnyPlan]
    index: Callable[[Any, Any], dict[str, Any]]
    checksums: Callable[[Any], tuple[Checksums, dict[str, str]]]
    do: Callable[[RunGroup], Outcome]
    score: Callable[[Path], float]
    estimate: Callable[[Any, Any, Path, int], Estimate]
    report: Callable[[Path, Path | None], Path]
    audit: Callable[[Any, Path], object]


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """One arm: its runs, those still to do, and what one of them and all of these will take, in seconds."""

    set: str
    regime: str
    runs: int
    todo: int
    epochs: int
    images: int
    seconds_each: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """lines: an arm each, source networks first. seconds: in all, for the workers given. core_seconds: for one.
    disk: bytes when finished. peak: bytes on the way, with checkpoints and features."""

    lines: tuple[ArmPlan, ...]
    seconds: float
    core_seconds: float
    disk: int
    peak: int
    stated: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Runs that one process does: one run, or frozen ones that share a trunk. packed: keys of those to package."""

    runs: tuple[Any, ...]
    folder: Path
    device: str
    packed: frozenset[str]
    kind: Kind

    @property
    def key(self) -> str:
        return jobs.digest(*(run.key for run in self.runs))[:16]


def replicate_seed(study_seed: int, role: str, replicate: int) -> int:
    """A seed of 60 bits, which follows from the study's and the number of the replicate alone."""
    return int(jobs.digest(str(study_seed), role, str(replicate))[:15], 16)


def study_folder(study: AnyStudy, folder: str | Path | None = None) -> Path:
    """Where a study's runs lie: `runs/NAME` below the working folder unless another is given."""
    return Path(folder) if folder else Path("runs") / study.name


def finished(folder: Path, run: AnyRun) -> bool:
    return (folder / "runs" / run.key / DONE).is_file()


def run(
    kind: Kind, study: AnyStudy, folder: Path, *, workers: int = 1, device: str = "cpu", cluster: str = ""
) -> dict[str, str]:
    """Run all of a study that is not finished; returns the problem of each run that failed, by its key.

    A run that fails costs no other; those that start from it fail as well, naming it, and so do those whose data are
    missing, damaged or not what the study began with. Raises SettingError where the folder holds another study.
    """
    need_extra()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise cannot_write(folder, e, "give another folder") from None
    with locked(folder):
        planned = kind.plan(study)
        unfit = begin(kind, study, planned, folder)
        problems: dict[str, str] = {}
        kept = {"none": (), "first": [r for r in planned.targets if r.replicate == 0], "all": planned.targets}
        packed = frozenset(one.key for one in kept[study.packed])
        for stage in (planned.sources, planned.targets):
            todo = [one for one in stage if not finished(folder, one)]
            for done in _work(_groups(todo, folder, device, packed, kind), workers, unfit, cluster):
                problems |= {key: problem for key, problem in done if problem}
        if not problems:
            shutil.rmtree(folder / "features", ignore_errors=True)
        if not unfit:
            kind.audit(planned, folder)
        return problems


def need_extra() -> None:
    """Raises MissingExtraError where torch or timm is not installed."""
    if lacks("torch", "timm", "scipy"):
        raise MissingExtraError("study", "running a study")


def begin(kind: Kind, study: AnyStudy, planned: AnyPlan, folder: Path) -> dict[str, str]:
    """Write what the study is; returns the problem of each task whose data are missing, damaged or altered.

    Raises SettingError where the folder holds another study or cannot be written.
    """
    path = folder / "index.json"
    before = read_json(path, "move it away and run the study again") if path.is_file() else {}
    if before and before.get("name") != study.name:
        raise SettingError(f"{folder}: holds the study {before.get('name')!r}, not {study.name!r}; give another folder")
    known = before.get("data", {})
    if not (isinstance(known, dict) and all(isinstance(f, dict) and "sha256" in f for f in known.values())):
        raise DataError(f"{path}: its data have no SHA-256; move it away and run the study again")
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
        raise cannot_write(folder, e, "give another folder, or free its disk") from e
    return problems


def versions() -> dict[str, str]:
    """Python's version and those of the libraries that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> str:
    """The processor and its cores, in a line."""
    import torch

    facts = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    name = facts.get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {facts.get('num_physical_cores', '?')} cores, {torch.backends.cpu.get_cpu_capability()}"


def _groups(runs: Iterable[AnyRun], folder: Path, device: str, packed: frozenset[str], kind: Kind) -> list[RunGroup]:
    groups: dict[str, list[AnyRun]] = {}
    for one in runs:
        alike = one.config() | {"replicate": None, "seed": None}
        key = json.dumps(alike, sort_keys=True) if one.batched else one.key
        groups.setdefault(key, []).append(one)
    return [RunGroup(tuple(group), folder, device, packed, kind) for group in groups.values()]


def _work(todo: Sequence[RunGroup], workers: int, unfit: dict[str, str], cluster: str) -> Iterable[Outcome]:
    by_key = {}
    for job in todo:
        broken = [unfit[str(task)] for task in (job.runs[0].task, job.runs[0].source_task) if str(task) in unfit]
        if broken:
            yield fail(job, broken[0])
        else:
            by_key[job.key] = job

    def crashed(key: str) -> Outcome:
        problem = "its process died twice; free memory (fewer workers, smaller batch), then run the study again"
        return fail(by_key[key], problem)

    running = run_items(work_on, by_key.items(), workers=workers, fresh=True, on_crash=crashed, address=cluster)
    with closing(running):
        for _, results in running:
            yield results


def work_on(job: RunGroup) -> Outcome:
    """Do the runs of a job, each into its folder; returns (key, problem or None) for each."""
    try:
        return job.kind.do(job)
    except InkshiftError as e:
        return fail(job, str(e))
    except OSError as e:
        told = f"{e.filename or job.folder}: {reason(e)}; free its disk or mend its rights, then run the study again"
        return fail(job, told)
    except Exception as e:  # a fault of ours or of a library must not cost the other runs
        return fail(job, f"{type(e).__name__}: {e}")


def fail(job: RunGroup, problem: str) -> Outcome:
    """Leave the problem in the folder of each run of a job that is not finished."""
    results: Outcome = []
    for one in job.runs:
        if finished(job.folder, one):
            results.append((one.key, None))
            continue
        folder = job.folder / "runs" / one.key
        message = problem if str(folder) in problem else f"{folder}: {problem}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / ERROR, {"error": message})
        except (OSError, SettingError):
            message += " (its error.json could not be written)"
        results.append((one.key, message))
    return results


def study_digest(planned: AnyPlan, folder: Path) -> str:
    """Names the outcome: SHA-256 over the digests of all runs. Raises InkshiftError while some are not finished."""
    parts = []
    for one in planned.runs:
        path = folder / "runs" / one.key / DONE
        if not path.is_file():
            raise InkshiftError(f"{path.parent}: not finished, so the study has no digest; run it again")
        parts.append(f"{one.key} {read_json(path).get('digest')}")
    return jobs.digest(*sorted(parts))


def epochs_planned(runs: Iterable[AnyRun]) -> int:
    """What `epochs_done` comes to when all is finished and no run stops early."""
    return sum(_epochs(one) for one in runs)


def epochs_done(runs: Iterable[AnyRun], folder: Path) -> int:
    """Epochs that are on disk; a finished run counts whole, however early it stopped."""
    return sum(_epochs(one) if finished(folder, one) else min(_rows(folder, one), _epochs(one)) for one in runs)


@contextmanager
def watching(planned: AnyPlan, folder: Path, tell: Callable[[int], object]) -> Iterator[None]:
    """Tell every two seconds, and at the end, how many epochs are on disk (`epochs_done`)."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(2):
            tell(epochs_done(planned.runs, folder))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        tell(epochs_done(planned.runs, folder))


def _epochs(one: AnyRun) -> int:
    return 1 if one.batched or one.regime == "as-is" else int(one.protocol.epochs)


def _rows(folder: Path, one: AnyRun) -> int:
    try:
        return max(0, len(read_text(folder / "runs" / one.key / EPOCHS).splitlines()) - 1)
    except (OSError, ValueError):
        return 0


def status(kind: Kind, planned: AnyPlan, folder: Path) -> list[dict[str, Any]]:
    """For each arm: how many runs are finished, begun and failed, epochs on disk, mean score of the finished ones."""
    return [_arm_status(kind, name, arm, runs, folder) for name, arm, runs in planned.groups]


def _arm_status(kind: Kind, name: str, regime: str, runs: tuple[AnyRun, ...], folder: Path) -> dict[str, Any]:
    done = [one for one in runs if finished(folder, one)]
    errors = [folder / "runs" / one.key / ERROR for one in runs]
    problems = [str(read_json(path).get("error")) for path in errors if path.is_file()]
    return {
        "set": name,
        "regime": regime,
        "runs": len(runs),
        "finished": len(done),
        "begun": sum(bool(_rows(folder, one)) and not finished(folder, one) for one in runs),
        "failed": len(problems),
        "epochs": f"{epochs_done(runs, folder)}/{epochs_planned(runs)}",
        kind.measure: sum(kind.score(folder / "runs" / one.key) for one in done) / len(done) if done else None,
        "problems": problems,
    }
