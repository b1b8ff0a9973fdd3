"""Review: people settle what the reader is not sure of. `core.store` keeps it, `core.queue` hands it out; what settled
fields are good for is in `datasets`, `teach` and `studies`.
"""
