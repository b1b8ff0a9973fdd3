"""Batches, from pages to files: `newbatch` takes pages, `reading` reads them, `exchange` writes what comes out."""
