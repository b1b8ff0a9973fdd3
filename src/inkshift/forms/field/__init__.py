"""One field from its crop to its reading: `fields` is the way in; `cutout` is the field as it was cut out of its page,
of which `ink` and `printed` leave what was written; `numbers` (free) and `cells` (boxed) look at it for a model, and
`struck`, `signs`, `corrected` tell what is no digit.
"""
