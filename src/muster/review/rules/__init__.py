"""The reviewers that need no model: each rule looks at one state of a file, and only what is new counts."""
