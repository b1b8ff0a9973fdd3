"""What a study was made with: versions, the machine."""

from __future__ import annotations

import platform
from importlib import metadata

_PACKAGES = ("inkshift", "torch", "torchvision", "timm", "numpy", "scipy", "opencv-python-headless")


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
