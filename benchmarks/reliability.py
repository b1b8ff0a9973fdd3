"""What nothing may break: promises in every world, files that are spoiled, runs that are killed, disks that fail, sums
in rings.

    python benchmarks/reliability.py [--parts killed rings] [--draws 300] [--inputs 10000] [--kills 20] [--out FILE]

The whole takes hours: each part says when it was printed, and the other parts of FILE stay as they are.

The worlds (`trust_worlds`) draw labelled forms whose every field has a known probability of being read wrong; a promise
is made on them as `inkshift calibrate` does, and what share of the accepted fields is truly wrong is looked up.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
from scipy.stats import beta

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import failing_disk
import fuzz
from bench_read import machine
from crossed import form
from inkshift.cli.app import main as main_of_inkshift
from inkshift.forms.joint.form import decode_form
from inkshift.forms.judge.guarantee import CalibrationSample
from inkshift.forms.judge.shift import drift
from inkshift.forms.trust import DECIMALS, Policy, load_policy, scores, usual
from printed import Parts, options, parted, show
from trust_worlds import (
    CONFIDENCE,
    ORDINARY,
    STEPS,
    TABLE,
    Kind,
    Risk,
    World,
    all_worlds,
    could_be,
    draw,
    judged,
    promised,
    rated,
    simulate,
)

TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
NEW = 500


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    return low, float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0


def simulation(draws: int) -> Iterator[str]:
    yield f"{draws:,} draws each; {CONFIDENCE:.0%} confidence, so at most {1 - CONFIDENCE:.0%} may break."
    yield "Where nothing else is said, 12.8% of fields are wrong, and fields of a form have half the variance of"
    yield "quality and of luck in common. *Could be*: the share that could be accepted if one knew."
    seed, worst = 0, (0.0, "")
    for title, worlds in all_worlds():
        yield f"\n### {title}\n"
        yield "| world | promised | forms | broken | 95 % interval | nothing promised | accepted | could be |"
        yield "|---|---|---|---|---|---|---|---|"
        for world in worlds:
            count, seed = simulate(world, draws, seed), seed + 1
            low, high = clopper_pearson(count.broken, draws)
            worst = max(worst, (count.broken / draws, world.name))
            yield (
                f"| {world.name} | {world.error:.0%} | {world.forms:,} | **{count.broken / draws:.2%}** "
                f"| {low:.2%} to {high:.2%} | {count.none / draws:.1%} | {count.accepted:.1%} | {could_be(world):.1%} |"
            )
    yield f"\nMost broken: {worst[0]:.2%} ({worst[1]})."


def commanded(draws: int) -> Iterator[str]:
    """As `simulation`, by files and the command that users give; few worlds, since each draw takes a while."""
    yield "The same of some worlds, by files: each draw is written as readings and labels, `inkshift calibrate` writes"
    yield f"a policy or none, and what it would accept is looked up; {draws:,} draws each.\n"
    yield "| world | promised | forms | broken | 95 % interval | no policy | accepted |"
    yield "|---|---|---|---|---|---|---|"
    for seed, world in enumerate((ORDINARY[0], ORDINARY[4], *TABLE)):
        broken, none, total = 0, 0, 0.0
        for i in range(draws):
            policy = calibrated(draw(world, np.random.default_rng([100 + seed, i])), world.error, i)
            if policy is None:
                none += 1
                continue
            taken = scores(policy.score, np.arange(STEPS) / 10**DECIMALS) >= policy.threshold
            accepted, wrong = judged(world, taken, policy.most)
            broken, total = broken + (wrong > world.error), total + accepted
        low, high = clopper_pearson(broken, draws)
        yield (
            f"| {world.name} | {world.error:.0%} | {world.forms:,} | **{broken / draws:.2%}** "
            f"| {low:.2%} to {high:.2%} | {none / draws:.1%} | {total / draws:.1%} |"
        )


def calibrated(labelled: CalibrationSample, error: float, seed: int) -> Policy | None:
    """The policy that the command writes of these forms, if it does."""
    with tempfile.TemporaryDirectory() as name:
        readings, labels, policy = (Path(name, file) for file in ("readings.csv", "labels.csv", "policy.json"))
        fields = list(zip(labelled.form.tolist(), labelled.confidence.tolist(), labelled.wrong.tolist(), strict=True))
        rows = (
            f"{form},{k},1,written,{sure:.4f},,1:{sure:.4f},,,1,1,drawn" for k, (form, sure, _) in enumerate(fields)
        )
        heads = "form,field,value,state,confidence,accepted,candidates,rules_broken,source,page,written,reader"
        readings.write_text("\n".join([heads, *rows]))
        right = (f"{form},{k},{1 + int(wrong)}" for k, (form, _, wrong) in enumerate(fields))
        labels.write_text("\n".join(["form,field,value", *right]))
        command = ["calibrate", str(readings), str(labels), "--error", str(error), "--confidence", str(CONFIDENCE)]
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as told:
            try:
                main_of_inkshift([*command, "--out", str(policy), "--seed", str(seed)])
            except SystemExit as ended:
                assert ended.code in (0, 1), told.getvalue()
        assert policy.exists() or "too few labels" in told.getvalue(), told.getvalue()
        return load_policy(policy) if policy.exists() else None


def drifted(world: World, by: float = 0.0, times: float = 1.0, large: float = 0.0) -> World:
    """The world after calibration. by: how far quality falls; times: errors at the same confidence; large: share of
    forms of 30 fields, all wrong."""

    def moved(risk: Risk) -> Risk:
        return lambda z: (times * risk(z - by)).clip(0, 1)

    kinds = [kind._replace(share=kind.share * (1 - large), risk=moved(kind.risk)) for kind in world.kinds]
    kinds += [Kind(large, 30, rated(1.0))] if large else []
    return world._replace(kinds=tuple(kinds), claim=lambda z: world.claim(z - by))


DRIFTS = {
    "none": {},
    "quality falls by 0.25 deviations": {"by": 0.25},
    "quality falls by 0.5 deviations": {"by": 0.5},
    "quality falls by 1 deviation": {"by": 1.0},
    "3 % of forms have 30 fields, all wrong": {"large": 0.03},
    "wrong twice as often at the same confidence": {"times": 2.0},
}


def named(labelled: CalibrationSample) -> Iterator[tuple[str, float]]:
    yield from ((str(form), float(sure)) for form, sure in zip(labelled.form, labelled.confidence, strict=True))


def drifting(draws: int) -> Iterator[str]:
    yield f"How often `inkshift shift --policy` says so on {NEW} new forms, {draws:,} draws each, and in how many of"
    yield "the draws with a promise it is broken after the drift.\n"
    yield "| world | drift | told | broken | accepted |"
    yield "|---|---|---|---|---|"
    grid = np.arange(STEPS) / 10**DECIMALS
    for world in (ORDINARY[0], ORDINARY[4]):
        for seed, (name, how) in enumerate(DRIFTS.items()):
            after = drifted(world, **how)
            told = broken = promises = 0
            shares = 0.0
            for i in range(draws):
                rng = np.random.default_rng([seed, i])
                sample = draw(world, rng)
                calibration, promise = promised(sample, world.error, i)
                new = draw(after._replace(forms=NEW), rng)
                told += bool(drift(usual(named(sample), promise.most), promise.most, named(new)))
                if promise.threshold is not None:
                    taken = scores(calibration.knots, grid) >= promise.threshold
                    accepted, wrong = judged(after, taken, promise.most)
                    promises, broken, shares = promises + 1, broken + (wrong > world.error), shares + accepted
            yield (
                f"| {world.name}, {world.error:.0%} | {name} | **{told / draws:.1%}** "
                f"| {broken / max(promises, 1):.1%} | {shares / max(promises, 1):.1%} |"
            )


def spoiled(inputs: int, minutes: float) -> Iterator[str]:
    yield f"{inputs:,} files of every kind, or as many as {minutes:g} minutes allow, each spoiled and given to a"
    yield "command that takes it (`tests/fuzz.py`, seed 1), the cheap kinds most often: a fault is a traceback, more"
    yield f"than {fuzz.SECONDS} s of the processor or {fuzz.MEGABYTES:,} MB, a death, or an error without a word.\n"
    yield from fuzz.counted(fuzz.told(fuzz.fuzz(inputs, 1, keep=Path("out", "fuzz"), minutes=minutes)))


def killed(kills: int) -> Iterator[str]:
    yield "Twelve telegrams read to a file; the process is killed at a random moment (SIGKILL) and started again until"
    yield "it ends.\n"
    yield "| output | kills | bytes that differ from an undisturbed run | files left behind |"
    yield "|---|---|---|---|"
    for kind in ("csv", "jsonl", "xlsx"):
        with tempfile.TemporaryDirectory() as name:
            pages = Path(name, "pages")
            pages.mkdir()
            for k in range(12):
                scan = sorted(TELEGRAM.glob("scan-*.jpg"))[k % 6]
                shutil.copy(scan, pages / f"{k:02d}.jpg")
            begun = time.monotonic()
            want = (
                reading(pages, Path(name, "once"), kind).communicate()
                and Path(name, "once", f"out.{kind}").read_bytes()
            )
            whole = time.monotonic() - begun
            rng, count, different, left = random.Random(1), 0, 0, 0
            while count < kills:
                out = Path(name, f"again-{count}")
                while True:
                    process = reading(pages, out, kind)
                    try:
                        process.wait(rng.uniform(0.1, 1.2) * whole if count < kills else None)
                        break
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                        count += 1
                different += out.joinpath(f"out.{kind}").read_bytes() != want
                left += len([file for file in out.iterdir() if file.name != f"out.{kind}"])
            yield f"| {kind} | {count} | **{different}** | **{left}** |"


def reading(pages: Path, out: Path, kind: str) -> subprocess.Popen[bytes]:
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "inkshift", "read", str(pages), "--template", str(TELEGRAM / "template.json")]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*command, "--out", str(out / f"out.{kind}")], stdout=quiet, stderr=quiet)


def failed() -> Iterator[str]:
    yield "A small run of each command, once for each call by which it makes, fills, renames or seals a file (of a"
    yield "study, every thirteenth), and each way to fail: the disk is full from there on, or that one call fails. A"
    yield "fault is more than one message, one that does not say it, anything half written, and a next start that does"
    yield "not go on.\n"
    yield "| command | calls that fail in turn | faults |"
    yield "|---|---|---|"
    tests = Path(fuzz.__file__).parent
    with tempfile.TemporaryDirectory() as name:
        disk = Path(name, "failing_disk.so")
        made = ["cc", "-shared", "-fPIC", "-O1", "-o", disk, tests / "failing_disk.c", "-ldl"]
        subprocess.run(made, check=True)
        for case in failing_disk.CASES:
            every = "13" if case == "study" else "1"
            command = [sys.executable, tests / "failing_disk.py", case, "--every", every]
            done = subprocess.run(
                command, env=os.environ | {"LD_PRELOAD": str(disk)}, stdout=subprocess.PIPE, text=True
            )
            _, calls, faults = done.stdout.splitlines()[0].split(": ")
            yield f"| {case} | {calls.split()[0]} | **{faults.split()[0]}** |"


def ringed() -> Iterator[str]:
    yield "Tables whose cells are summed across and down, read with several candidates each, and settled by"
    yield "`decode_form`; seconds of the processor, and whether all bytes are the same while four processes keep the"
    yield "processor busy.\n"
    yield "| fields | right before | right | seconds | same bytes beside busy processes |"
    yield "|---|---|---|---|---|"
    for rows in (5, 9, 13):
        given, rules, specs, truth = form(rows, rows, 0)
        begun = time.process_time()
        quiet = decode_form(given, rules, specs)
        seconds = time.process_time() - begun
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
        loaded = decode_form(given, rules, specs)
        for process in busy:
            process.kill()
            process.wait()
        before, right = (
            sum(field.value == value for field, value in zip(one.fields, truth, strict=True)) for one in (given, quiet)
        )
        same = repr(quiet) == repr(loaded)
        yield f"| {len(truth)} | {before} | {right} | {seconds:.1f} | {'yes' if same else '**no**'} |"


PARTS: Parts = {
    "promise": ("The promise, simulated", ["draws"], lambda given: simulation(given.draws)),
    "command": ("The promise, by the command", ["draws"], lambda given: commanded(given.draws)),
    "drift": ("Drift after calibration", ["draws"], lambda given: drifting(min(given.draws, 200))),
    "spoiled": ("Spoiled files", ["inputs", "minutes"], lambda given: spoiled(given.inputs, given.minutes)),
    "killed": ("Killed runs", ["kills"], lambda given: killed(given.kills)),
    "disk": ("Disks that fail", [], lambda given: failed()),
    "rings": ("Sums in rings", [], lambda given: ringed()),
}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="to do anew (default: all)")
    parser.add_argument("--draws", type=int, default=300, help="of each world (default: 300)")
    parser.add_argument("--inputs", type=int, default=10000, help="spoiled files (default: 10000)")
    parser.add_argument("--minutes", type=float, default=120, help="for the spoiled files, at most (default: 120)")
    parser.add_argument("--kills", type=int, default=20, help="of runs of each output (default: 20)")
    given = parser.parse_args()
    show(parted("Reliability", PARTS, given, machine()), given.out)


if __name__ == "__main__":
    main()
