"""What is derived from a journal for people to read."""
