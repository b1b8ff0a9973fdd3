"""What is in one field: `printed` takes away what the form brought with it, `signs` names what is no digit."""
