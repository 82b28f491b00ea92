"""The drawn datasets; nothing imports this."""
