"""The pages of review, one module each."""
