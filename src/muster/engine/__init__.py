"""The shell around a run: performs the steps decided and records what happened."""
