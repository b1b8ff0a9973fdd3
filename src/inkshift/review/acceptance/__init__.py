"""What may go through unseen: `promise` says what, `service` takes it out of the queue."""
