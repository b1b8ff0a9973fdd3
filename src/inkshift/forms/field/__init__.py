"""One field, cut out of its page (`forms.cut`), read: `fields` is the way in; `numbers` (free) and `cells` (boxed) look
at it for a model, and `struck`, `signs`, `corrected` tell what is no digit.
"""
