"""Ways to run jobs: serial, process, ray."""
