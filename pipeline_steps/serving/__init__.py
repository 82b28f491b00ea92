"""The path at which harnesses start the model server."""
