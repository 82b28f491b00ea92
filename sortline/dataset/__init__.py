"""Pictures into splits: ingest, manifest, expectations."""
