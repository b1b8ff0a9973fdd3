"""The command line: parse, call, print. One module for each noun."""

from inkshift.cli.app import app, main

__all__ = ["app", "main"]
