"""The commands: parse options, build objects, run the work, show results."""
