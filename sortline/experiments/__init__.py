"""Run a recipe, compare runs, audit labels."""
