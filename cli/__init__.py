"""The commands: options, build, run, show."""
