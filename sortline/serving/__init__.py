"""A model server here, infra validation, predict."""
