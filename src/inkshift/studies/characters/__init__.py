"""Studies of single characters: `plan` (keyed runs), `work` (one run) or `frozen` (all frozen runs of a trunk at once),
`deliver` (a group of runs done, and packed); `regimes` says where weights start and which learn.
"""
