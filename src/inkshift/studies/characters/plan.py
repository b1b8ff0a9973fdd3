"""A study's specification as keyed runs: the same settings give the same key, alone or among thirty."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from inkshift.datasets.formats import Split
from inkshift.datasets.tasks import Task
from inkshift.errors import DataError
from inkshift.studies.engine import AnyRun, Checksums, replicate_seed
from inkshift.studies.spec import CHOICES, Protocol, Regime, Study, TransferSet, Weights

_BLOCK = 4096
_SPLITS: tuple[Split, ...] = ("train", "test")
_ONLY_FROZEN = {"batch_norm": "freeze_stats"}
_ONLY_TRANSFER = {"source_networks": "one", "source_epochs": 1, "depth": None, "layer_rates": 1.0}
_ONLY_FINE_TUNED = {"forgetting": False}


@dataclass(frozen=True, kw_only=True)
class Run(AnyRun):
    """One network: what it learns, from where it starts, how it is trained.

    role: `source` for a network that others start from. source: the key of the run whose weights it takes.
    sample_seed: of the images drawn from the data sets. labels_seed: of the labelled images
    among them, where each replicate draws its own. weights: those it takes that no run made,
    with the SHA-256 of their file.
    """

    kind: ClassVar[str] = "characters"

    role: Literal["source", "target"]
    regime: Regime
    task: Task
    source_task: Task | None = None
    protocol: Protocol
    sample_seed: int
    source: str | None = None
    labels_seed: int | None = None
    weights: tuple[Weights, str] | None = None

    def config(self) -> dict[str, Any]:
        found = {
            "role": self.role,
            "regime": self.regime,
            "task": self.task.model_dump(mode="json"),
            "source_task": self.source_task and self.source_task.model_dump(mode="json"),
            "source": self.source,
            "replicate": self.replicate,
            "seed": self.seed,
            "sample_seed": self.sample_seed,
            "protocol": self.protocol.stored(),
        }
        # These came after the first studies, whose runs keep their keys.
        if self.labels_seed is not None:
            found["labels_seed"] = self.labels_seed
        if self.weights is not None:
            found["weights"] = self.weights[0].model_dump() | {"sha256": self.weights[1]}
        return found

    @property
    def batched(self) -> bool:
        return self.regime == "frozen" and self.protocol.batch_norm == "freeze_stats" and self.protocol.depth is None


@dataclass(frozen=True, slots=True)
class RegimeArm:
    """One regime of a set: its settings and a run for each replicate."""

    regime: Regime
    protocol: Protocol
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """The regime, with the labels that it learns from where that is not all."""
        return f"{self.regime} (labels {self.protocol.labels})" if self.protocol.labels else self.regime


@dataclass(frozen=True, slots=True)
class PlannedSet:
    """A set with its arms."""

    spec: TransferSet
    arms: tuple[RegimeArm, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All runs of a study, source networks first; a run that two sets share is there once."""

    sources: tuple[Run, ...]
    sets: tuple[PlannedSet, ...]

    @property
    def targets(self) -> tuple[Run, ...]:
        runs = {run.key: run for one in self.sets for arm in one.arms for run in arm.runs}
        return tuple(runs.values())

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.sources + self.targets

    @property
    def groups(self) -> list[tuple[str, str, tuple[Run, ...]]]:
        """Runs as a table shows them: set, regime, and the runs; source networks first, each by itself."""
        rows = [("source networks", str(run.task), (run,)) for run in self.sources]
        return rows + [(one.spec.name, arm.name, arm.runs) for one in self.sets for arm in one.arms]


def plan(study: Study, counts: Mapping[str, int] | None = None) -> Plan:
    """The runs of a study. counts: replicates of sets, by name, where they are not those of the specification.

    Raises SettingError or MissingExtraError where `precision = "auto"` cannot be settled, DataError for weights that
    are not there.
    """
    sources: dict[str, Run] = {}
    sets = []
    for one in study.sets:
        one = one.model_copy(update={"replicates": (counts or {}).get(one.name, one.replicates)})
        arms = [_arm(study, one, regime, budget, sources) for regime, budget in one.arms]
        sets.append(PlannedSet(one, tuple(arms)))
    return Plan(tuple(sources.values()), tuple(sets))


def _arm(
    study: Study, one: TransferSet, regime: Regime, budget: int | Literal["all"] | None, sources: dict[str, Run]
) -> RegimeArm:
    protocol = _settled(study.settings(one, regime, budget))
    replicates = one.replicates or study.replicates
    if regime == "as-is" and protocol.source_networks == "one":
        replicates = 1  # nothing learns, so every replicate would be the same
    own_labels = protocol.samples == "each" and regime != "as-is"
    given = one.source if isinstance(one.source, Weights) and regime != "control" else None
    runs = []
    for replicate in range(replicates):
        source = None
        if regime not in ("control", "pooled") and not given:
            source = _source(study, one, protocol, 0 if protocol.source_networks == "one" else replicate)
            sources[source.key] = source
        runs.append(
            Run(
                role="target",
                regime=regime,
                task=one.target,
                replicate=replicate,
                seed=replicate_seed(study.seed, "target", replicate),
                sample_seed=study.seed,
                protocol=_relevant(protocol, regime, given is not None),
                source=source.key if source else None,
                source_task=one.source if isinstance(one.source, Task) and (source or regime == "pooled") else None,
                labels_seed=replicate_seed(study.seed, "labels", replicate) if own_labels else None,
                weights=(given, given.digest) if given else None,
            )
        )
    return RegimeArm(regime, protocol, tuple(runs))


def _source(study: Study, one: TransferSet, protocol: Protocol, replicate: int) -> Run:
    assert isinstance(one.source, Task)
    framing = protocol.source_reframing or protocol.reframing
    own = {"epochs": protocol.source_epochs, "reframing": framing, "source_reframing": None, "labels": None}
    own |= {"samples": "one", "least": 0}
    training = protocol.model_copy(update={**own, **_ONLY_FROZEN, **_ONLY_TRANSFER, **_ONLY_FINE_TUNED})
    seed = replicate_seed(study.seed, "source", replicate)
    return Run(
        role="source",
        regime="control",
        task=one.source,
        replicate=replicate,
        seed=seed,
        sample_seed=study.seed,
        protocol=training,
    )


def _relevant(protocol: Protocol, regime: Regime, given: bool) -> Protocol:
    """The protocol with what a regime does not use set aside, so that it makes no second run of the same. given: it
    starts from weights that no run made."""
    unused: dict[str, Any] = {} if regime == "frozen" else dict(_ONLY_FROZEN)
    if regime != "fine-tuned" or given:  # weights that no run of ours trained tell no task that they could forget
        unused |= _ONLY_FINE_TUNED
    if regime != "pooled":  # what a source network saw is in its own key, which the run names
        unused["source_reframing"] = None
    if regime in ("control", "pooled"):
        unused |= _ONLY_TRANSFER
    if regime == "frozen":  # what is carried over does not learn
        unused["layer_rates"] = 1.0
    if regime == "as-is":
        unused |= {"depth": None, "labels": None, "samples": "one", "least": 0, "layer_rates": 1.0}
    return protocol.model_copy(update=unused)


def _settled(protocol: Protocol) -> Protocol:
    if protocol.precision != "auto":
        return protocol
    from inkshift.models.train.networks import native_bfloat16

    return protocol.model_copy(update={"precision": "bfloat16" if native_bfloat16() else "float32"})


def index(study: Study, planned: Plan) -> dict[str, Any]:
    """What `index.json` says of the plan: sets, relations, arms, the keys of their runs."""
    shared = _settled(study.protocol)
    sets = [_set_entry(one, shared.model_dump(mode="json")) for one in planned.sets]
    for entry, one in zip(sets, study.sets, strict=True):
        if len(looks := study.looks(one)) > 1:
            entry["looks"] = len(looks)
    return {
        "name": study.name,
        "title": study.title or study.name,
        "seed": study.seed,
        "margin": study.margin,
        "settings": shared.stored(),
        "choices": list(CHOICES),
        "sets": sets,
    }


def _set_entry(one: PlannedSet, base: dict[str, Any]) -> dict[str, Any]:
    relation = one.spec.source.relation(one.spec.target)
    every = [arm.protocol.model_dump(mode="json") for arm in one.arms]
    own = [{key: value for key, value in protocol.items() if base[key] != value} for protocol in every]
    shared = {key: value for key, value in own[0].items() if all(other.get(key) == value for other in own)}
    return {
        "name": one.spec.name,
        "source": one.spec.source.model_dump(mode="json"),
        "target": one.spec.target.model_dump(mode="json"),
        "relation": relation.value,
        "relation_text": relation.formula,
        "same_domain": one.spec.same_domain,
        "settings": shared,
        "arms": [
            {
                "regime": arm.regime,
                "settings": {key: value for key, value in mine.items() if key not in shared},
                "runs": [run.key for run in arm.runs],
            }
            for arm, mine in zip(one.arms, own, strict=True)
        ],
    }


def checksums(planned: Plan) -> tuple[Checksums, dict[str, str]]:
    """By task and split, how many images there are and the SHA-256 of their pixels and labels; and by task, why not."""
    tasks = {str(task): task for run in planned.runs for task in (run.task, run.source_task) if task}
    found: Checksums = {}
    problems: dict[str, str] = {}
    for name, task in sorted(tasks.items()):
        try:
            found[name] = {split: _checksum(task, split) for split in _SPLITS}
        except DataError as e:
            problems[name] = str(e)
    return found, problems


def _checksum(task: Task, split: Split) -> dict[str, Any]:
    data, classes = task.load(split)
    rows = np.flatnonzero(classes >= 0)
    total = hashlib.sha256(classes[rows].tobytes())
    if isinstance(data.images, np.ndarray):
        for start in range(0, len(rows), _BLOCK):
            total.update(np.ascontiguousarray(data.images[rows[start : start + _BLOCK]]).tobytes())
    else:
        for row in rows:
            image = data.images[int(row)]
            total.update(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    return {"images": len(rows), "sha256": total.hexdigest()}
