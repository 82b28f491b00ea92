"""What images, clusters and rights are made from, where a file alone does not do."""
