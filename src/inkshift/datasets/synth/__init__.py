"""Pictures to learn from, made: `strings` writes numbers with real glyphs (`augment`) and drawn ones (`shapes`), on
`paper`, with `marks` around them; `crops` makes single digits as they look when cut off a page.
"""
