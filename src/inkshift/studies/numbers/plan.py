"""A study of whole numbers as keyed runs: a regime, a budget of labels, a replicate."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from inkshift.datasets.catalog import load_numbers
from inkshift.errors import DataError, ModelError
from inkshift.models.package import load_model
from inkshift.studies.engine import AnyRun, Checksums, replicate_seed
from inkshift.studies.spec import NumberStudy, StringRegime, Teaching


@dataclass(frozen=True, kw_only=True)
class NumberRun(AnyRun):
    """One recogniser of whole numbers: where it starts, what it learns, what it is tested on.

    task: the data. budget: labels it may use, None where nothing learns. seed: of the split and the draw of labels too,
    the same in all budgets of a replicate. source: the model package that the weights are from, or, for a control,
    only the shape of the network; source_digest: what it held.
    """

    kind: ClassVar[str] = "string"

    regime: StringRegime
    task: str
    protocol: Teaching
    budget: int | None
    test_share: float
    source: str
    source_digest: str
    reframing: str
    parameters: int
    composed: str
    old_task: int

    def config(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "regime": self.regime,
            "data": self.task,
            "budget": self.budget,
            "test_share": self.test_share,
            "replicate": self.replicate,
            "seed": self.seed,
            "training": None if self.budget is None else self.protocol.model_dump(mode="json"),
            "source": None if self.regime == "control" else self.source_digest,
            "reframing": self.reframing,
            "parameters": self.parameters,
            "composed": self.composed,
            "old_task": self.old_task,
        }


@dataclass(frozen=True, slots=True)
class BudgetArm:
    """One regime with one budget of labels: a run for each replicate."""

    regime: StringRegime
    budget: int | None
    runs: tuple[NumberRun, ...]

    @property
    def name(self) -> str:
        return arm_name(self.regime, self.budget)


@dataclass(frozen=True, slots=True)
class NumberPlan:
    """All runs of a study of whole numbers."""

    data: str
    arms: tuple[BudgetArm, ...]
    sources: tuple[NumberRun, ...] = ()

    @property
    def targets(self) -> tuple[NumberRun, ...]:
        return tuple(run for arm in self.arms for run in arm.runs)

    @property
    def runs(self) -> tuple[NumberRun, ...]:
        return self.targets

    @property
    def groups(self) -> list[tuple[str, str, tuple[NumberRun, ...]]]:
        """Runs as a table shows them: data, regime with its budget, and the runs."""
        return [(self.data, arm.name, arm.runs) for arm in self.arms]


def arm_name(regime: str, budget: int | None) -> str:
    """`fine-tuned, 50 labels`, or `as-is`."""
    return regime if budget is None else f"{regime}, {budget} labels"


def plan(study: NumberStudy) -> NumberPlan:
    """The runs of a study. Raises ModelError where its source is missing, damaged or reads no whole numbers."""
    source = load_model(study.source)
    if source.manifest.reads != "number":
        raise ModelError(f"source {study.source}: reads single digits; give a model of whole numbers, such as numbers")
    composed = _settled(study.composed)
    arms = []
    for regime in study.regimes:
        for budget in (None,) if regime == "as-is" else study.budgets:
            runs = tuple(
                NumberRun(
                    regime=regime,
                    task=study.data,
                    budget=budget,
                    test_share=study.test_share,
                    replicate=replicate,
                    seed=replicate_seed(study.seed, "target", replicate),
                    protocol=study.settings(regime),
                    source=study.source,
                    source_digest=source.digest,
                    reframing=source.manifest.reframing,
                    parameters=source.manifest.parameters,
                    composed=composed,
                    old_task=study.old_task,
                )
                for replicate in range(study.replicates)
            )
            arms.append(BudgetArm(regime, budget, runs))
    return NumberPlan(study.data, tuple(arms))


def _settled(composed: str) -> str:
    if composed != "auto":
        return composed
    from inkshift.models.train import rehearsal

    return "recipe" if rehearsal.here() else "drawn"


def index(study: NumberStudy, planned: NumberPlan) -> dict[str, Any]:
    """What `index.json` says of the plan: settings, the source package, arms, the keys of their runs."""
    manifest = load_model(study.source).manifest
    base = study.training.model_dump(mode="json")
    run = planned.runs[0]
    settings = {"source": study.source, "data": study.data, "test_share": study.test_share} | base
    return {
        "kind": study.kind,
        "name": study.name,
        "title": study.title or study.name,
        "seed": study.seed,
        "margin": study.margin,
        "settings": settings | {"composed": run.composed, "old_task": study.old_task},
        "source": {"name": manifest.name, "digest": run.source_digest, "summary": manifest.summary},
        "arms": [
            {
                "regime": arm.regime,
                "budget": arm.budget,
                "settings": {k: v for k, v in arm.runs[0].protocol.model_dump(mode="json").items() if v != base[k]},
                "runs": [one.key for one in arm.runs],
            }
            for arm in planned.arms
        ],
    }


def checksums(planned: NumberPlan) -> tuple[Checksums, dict[str, str]]:
    """How many numbers the data hold, and the SHA-256 of pictures, labels and forms; or why there is none."""
    try:
        pictures, labels, forms = load_numbers(planned.data)
    except DataError as e:
        return {}, {planned.data: str(e)}
    total = hashlib.sha256(json.dumps([labels, forms]).encode())
    for picture in pictures:
        total.update(str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
    return {planned.data: {"numbers": {"images": len(labels), "sha256": total.hexdigest()}}}, {}
