"""One page: out of its file, onto its template, and what lies where on it."""
