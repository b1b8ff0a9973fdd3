"""Read hand-written numbers off forms with reused models, and study whether a model carries over."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inkshift.datasets.tasks import Task
    from inkshift.errors import InkshiftError
    from inkshift.forms.reader import Reader, read
    from inkshift.forms.template import Template, load_template
    from inkshift.models.package import Model, load_model
    from inkshift.studies.spec import NumberStudy, Study

__version__ = "0.1.0"

__all__ = [
    "InkshiftError",
    "Model",
    "NumberStudy",
    "Reader",
    "Study",
    "Task",
    "Template",
    "__version__",
    "load_model",
    "load_template",
    "read",
]

# Each public name is imported when it is first asked for, so that `inkshift --help` waits for none of them.
_HOMES = {
    "InkshiftError": "errors",
    "Model": "models.package",
    "Reader": "forms.reader",
    "NumberStudy": "studies.spec",
    "Study": "studies.spec",
    "Task": "datasets.tasks",
    "Template": "forms.template",
    "load_model": "models.package",
    "load_template": "forms.template",
    "read": "forms.reader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'inkshift' has no attribute {name!r}")
    value = getattr(import_module(f"inkshift.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
