"""Git: folders for tasks to work in, commits, merges, and the care for what is the user's."""
