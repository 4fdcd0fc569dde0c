"""What is wanted and how: briefs, plans, workflows and roles as people write them, read, checked and written."""
