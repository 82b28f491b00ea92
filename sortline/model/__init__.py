"""The artefact: contract, SavedModel, parity, LiteRT."""
