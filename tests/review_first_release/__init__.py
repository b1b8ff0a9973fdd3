"""The tables of review in version 0.1.0, made by the migrations that it came with."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from inkshift.review.core import store as stores


def first_release(url: str) -> sa.Engine:
    """An empty database of version 0.1.0."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    engine = stores._engine(stores._address(url))
    with engine.execution_options(immediate=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return engine
