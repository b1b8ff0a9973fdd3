"""Readings out: `batch` reads many pages into files (`export`, `html`, `trail`), and goes on after a stop."""
