"""All fields of a form read together under its rules: `form` is the way in."""
