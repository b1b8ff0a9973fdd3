"""Studies of whole numbers by budget of labels: `plan` (keyed runs), `work` (one run, and its cost)."""
