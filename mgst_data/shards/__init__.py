"""The shard schema, its writer and its readers."""
