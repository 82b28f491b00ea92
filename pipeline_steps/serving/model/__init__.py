"""The exported model: its signatures, its contract, its graph, and calling it in this process."""
