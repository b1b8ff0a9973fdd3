"""Review: people settle what the reader is not sure of. `store` keeps it, `queue` hands it out."""
