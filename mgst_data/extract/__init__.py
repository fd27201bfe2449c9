"""From video records to shards: the extractor, the job, the run."""
