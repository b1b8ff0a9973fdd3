"""Batches, from pages to files: `routes` takes pages, `reading` reads them, `exchange` writes what comes out."""
