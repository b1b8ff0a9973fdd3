"""What becomes of readings: whether they are like those that a policy was made on (`drift`)."""
