"""Where an attempt works: preparing, saving, merging and disposing of worktrees."""
