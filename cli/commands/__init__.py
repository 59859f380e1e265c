"""One file per command: its options, its arguments and its output."""
