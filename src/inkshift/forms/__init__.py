"""Numbers off paper: `reader` takes pages and gives readings (`reading`) by a `template`; `settings` say with what,
`scans` are what other processes read, and `assemble` makes forms.

A page goes through `page`, `registration`, `cut`, `field` (or `table`) and `joint`; `out` writes, `judge` says what it
is worth.
"""
