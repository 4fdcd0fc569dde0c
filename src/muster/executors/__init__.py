"""Where an attempt runs: on this machine or on others."""
