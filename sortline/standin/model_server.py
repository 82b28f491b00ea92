"""`python -m sortline.standin.model_server`: a stand-in for `tensorflow_model_server`.

It takes the real binary's flags. Once its ports are open it prints one line on stderr:

    model_server: listening grpc=127.0.0.1:8500 rest=127.0.0.1:8501

(`rest=-` without REST). That a port is open does not mean that a model is loaded: ask for its
status. SIGTERM and SIGINT stop it after the calls under way.
"""

import asyncio
import gc
import signal
import sys
from typing import Final

from sortline.core.entry import exit_code_of
from sortline.core.errors import ServingError
from sortline.core.quiet import quiet_libraries
from sortline.standin.flags import Flags, parse_flags

LISTENING: Final = "listening"


async def _serve(flags: Flags) -> None:
    import tensorflow as tf

    from sortline.standin.server import Server, say

    tf.get_logger().setLevel("ERROR")  # It advises against the loader that the real server uses.
    tf.config.threading.set_intra_op_parallelism_threads(flags.tensorflow_intra_op_parallelism)
    # TensorFlow's half a million objects stay: who frees a model need not look through them, while
    # every call waits.
    gc.freeze()

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(flags)
    try:
        at = await server.start()
        say(f"{LISTENING} grpc={at.grpc} rest={at.rest or '-'}")
        loading = asyncio.create_task(server.load())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            _raise_if_failed(loading)
        await stopping
    finally:
        await server.stop()


def _raise_if_failed(loading: asyncio.Task[None]) -> None:
    if error := loading.exception():
        raise ServingError("UNKNOWN", "", f"Failed to start server. Error: {error}") from error


def _print_version() -> None:
    import tensorflow as tf

    print(f"Sortline's stand-in for TensorFlow Serving\nTensorFlow Library: {tf.__version__}")


def main() -> None:
    """Serve until told to stop; the exit code is 0 then, and 2 when it could not start."""
    quiet_libraries()

    def work() -> None:
        flags = parse_flags(sys.argv[1:])
        if flags is None:
            _print_version()
        else:
            asyncio.run(_serve(flags))

    sys.exit(exit_code_of(work))


if __name__ == "__main__":
    main()
