"""Labels of a dataset: which are probably wrong, and what a person decided about them."""
