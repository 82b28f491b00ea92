"""A stand-in for TensorFlow Serving on laptops, in tests and in infra validation.

It speaks the same protocols and answers the same errors, in one Python process. Production is the
real server: this one uses no GPU and listens on the loopback interface only.

    model_server   the command: flags, files that they name, start and end
    server         ports, first load, polls
    grpc_services, rest, rest_json   the protocols
    service        what is done for a call, and the threads where it is computed
    inference      one loaded version, and a request against it
    batching       requests of several callers computed as one
    catalogue      which versions there are, and which of them a request means
    registry       loads and unloads them
    monitoring     metrics for Prometheus
"""
