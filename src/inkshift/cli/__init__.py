"""The command line: parse, call, print. A module for each noun, or for two that belong together."""

from inkshift.cli.app import app, main

__all__ = ["app", "main"]
