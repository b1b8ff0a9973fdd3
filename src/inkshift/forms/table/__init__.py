"""The cells of a table without a template: `tables` is the way in."""
