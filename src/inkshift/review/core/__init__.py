"""What all stand on: `schema` and `store` keep it, `queue` hands it out, `intake` takes it in, `tasks` runs behind."""
