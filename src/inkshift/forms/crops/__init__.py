"""Labelled pictures from pages: data sets (`harvest`, `folder`) and what the number recogniser learns (`teach`)."""
