"""Read hand-written numbers off forms with reused models, and study whether a model carries over."""

from inkshift.datasets.tasks import Task
from inkshift.errors import InkshiftError
from inkshift.forms.reader import Reader, read
from inkshift.forms.template import Template, load_template
from inkshift.models.package import Model, load_model
from inkshift.transfer.spec import StringStudy, Study

__version__ = "0.1.0"

__all__ = [
    "InkshiftError",
    "Model",
    "Reader",
    "StringStudy",
    "Study",
    "Task",
    "Template",
    "__version__",
    "load_model",
    "load_template",
    "read",
]
