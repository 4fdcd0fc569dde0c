"""What people do to runs that are there: find, stop, answer, undo, clear away."""
