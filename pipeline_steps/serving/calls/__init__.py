"""What clients of TensorFlow Serving are made of: messages, channels, retries. No TensorFlow."""
