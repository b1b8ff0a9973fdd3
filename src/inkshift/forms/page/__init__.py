"""A page before it is laid on its template: files to pixels (`files`, `pdf`), and what page it is (`which`)."""
