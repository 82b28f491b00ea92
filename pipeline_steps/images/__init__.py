"""Images before the network sees them: headers, pixels, splits, duplicates, generated pictures."""
