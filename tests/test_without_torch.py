"""Reading needs no torch: everything but the training modules works where it cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"

FORBID = """
import importlib, pkgutil, sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "onnx", "onnxscript"):
            raise ImportError(f"{name} is forbidden here")

sys.meta_path.insert(0, NoTorch())
"""

IMPORTS = """
import inkshift
models = {"networks", "convolutions", "loop", "checkpoint", "recipes", "numbers"}
models |= {"eight_bits", "finetune", "adapt", "teaching", "weights"}
studies = {f"characters.{name}" for name in ("regimes", "work", "frozen", "deliver", "estimate", "advise")}
studies |= {"numbers.work"}
allowed = {f"inkshift.models.train.{name}" for name in models} | {f"inkshift.studies.{name}" for name in studies}
for module in pkgutil.walk_packages(inkshift.__path__, "inkshift."):
    if module.name not in allowed and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert "torch" not in sys.modules
print("imported")
"""

READS = """
import inkshift
form, = inkshift.read({scan!r}, {template!r})
print(form.name, form["p02"].value)
"""


def python(code: str) -> str:
    path = os.pathsep.join([str(SRC), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", FORBID + code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_all_but_the_training_modules_can_be_imported() -> None:
    assert python(IMPORTS) == "imported"


def test_a_telegram_is_read(telegram: Path, shipped_model: str) -> None:
    code = READS.format(scan=str(telegram / "scan-1.jpg"), template=str(telegram / "template.json"))
    assert python(code) == "T-0001 22"
