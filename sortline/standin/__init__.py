"""A stand-in for TensorFlow Serving on laptops, in tests and in infra validation.

It speaks the same protocols and answers the same errors, in one Python process. Production is the
real server: this one neither batches nor uses a GPU, and listens on the loopback interface only.
"""
