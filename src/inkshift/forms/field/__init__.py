"""One field from its crop to its reading: `fields` is the way in; `ink` and `printed` leave what was written, `numbers`
(free) and `cells` (boxed) look at it for a model, `struck`, `signs`, `guides`, `corrected` tell what is no digit.
"""
