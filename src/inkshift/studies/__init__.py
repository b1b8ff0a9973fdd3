"""Does knowledge carry over? A specification becomes runs, runs become results, results a report.

Data goes one way: `spec` (what is asked) -> `characters.plan` or `numbers.plan` (keyed runs, without torch) -> `engine`
(a process a group of runs, nothing finished run again) -> `characters.work` or `numbers.work` (one run into its folder,
`record`) -> `report` (results read back, compared, drawn, written). What may be said of a difference is in `stats`.
Read `spec` first, then `engine`; `kinds` says what each kind of study gives to the engine.
"""
