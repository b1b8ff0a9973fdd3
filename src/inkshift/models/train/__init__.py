"""How models are made and taught. `numbers` (the recipe `numbers.toml`) and `recipes` make the packages that ship, by
`networks` and the one `loop`; `teaching` takes a package to a better one: `finetune` with labels, `adapt` without. A
reader of numbers ships in `eight_bits`.
"""
