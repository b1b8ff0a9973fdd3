"""What the pages say of work in the background."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "task_done": ("done", "terminado"),
    "task_failed": ("failed", "falló"),
    "task_interrupted": ("interrupted", "interrumpido"),
    "task_running": ("running", "en curso"),
    "task_stopped": ("stopped", "detenido"),
    "task_again": ("Go on", "Continuar"),
    "task_stop": ("Stop", "Detener"),
}
