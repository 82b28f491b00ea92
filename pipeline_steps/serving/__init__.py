"""What clients of an exported model rely on: its signatures and its contract."""
