"""The command line: parses, assembles, runs and prints."""
