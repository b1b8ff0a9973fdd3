"""One page: out of its file, and onto its template."""
