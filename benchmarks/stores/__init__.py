"""Parts of the benchmark of streaming from an object store."""
