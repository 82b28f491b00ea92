"""Where a prediction log lies, and labels that come later."""
