"""Whether the answers of a model that is served drift, and whether there is data to learn from."""
