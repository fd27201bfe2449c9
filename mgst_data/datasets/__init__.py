"""One layout a file: a folder on disk becomes video records."""
