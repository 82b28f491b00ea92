"""Networks: backbones, weights, heads, features and the training loop (Keras 3 alone)."""
