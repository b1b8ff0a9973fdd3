"""What may go through unseen: `promise` says what, and takes it out of the queue."""
