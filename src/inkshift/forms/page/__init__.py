"""A page before it is laid on its template, and as it lies.

Files become pixels (`files`, `pdf`, which draws in a process of its own: `draw_pdf`); `which` page it is and what its
`barcode` says; `known` lays it on what its form is known by; which way `upright` is; `place` and `laid` cut out its
fields, `strokes` are those that go over several, and `guides` what is printed alike in all cells.
"""
