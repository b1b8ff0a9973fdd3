"""Batches, from pages to files: `routes` takes pages, `reading` reads them, `mend` mends the rest, `exchange` writes."""
