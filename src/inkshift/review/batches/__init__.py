"""Batches, from pages to files: `routes` takes pages, `reading` reads them, `mend` the rest, `exchange` writes."""
