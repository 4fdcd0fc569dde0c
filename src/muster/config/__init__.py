"""Settings, from defaults to flags, each with its source."""
