"""The gRPC client; it needs no TensorFlow."""
