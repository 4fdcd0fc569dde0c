"""The phases of a run, from brief to verdict."""
