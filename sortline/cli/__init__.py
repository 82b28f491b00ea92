"""The `sortline` command: a file a group of commands."""
