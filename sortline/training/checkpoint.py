"""All that a training run is made of, in one file: a killed run goes on as if undisturbed.

Weights, optimizer, the states of the random generators inside layers (Dropout's), the callbacks'
own memory and the history. The order of the data needs no state: it is drawn from (seed, epoch).
"""

import json
from pathlib import Path

import keras
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as serialize

from sortline.core.files import atomic_file

# What Keras's callbacks remember between epochs (keras/src/callbacks, 3.15): plain numbers here,
# EarlyStopping's best weights as arrays.
_MEMORY = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
}


def _variables(model: keras.Model) -> list[keras.Variable]:
    # `model.variables` holds weights and generator states; the optimizer's come besides.
    return [*model.variables, *model.optimizer.variables]


def _memory_of(callback: keras.callbacks.Callback) -> dict[str, float | int | None]:
    names = _MEMORY[type(callback).__name__]
    values = {name: getattr(callback, name) for name in names}
    return {name: value if value is None else float(value) for name, value in values.items()}


def _best_weights(callbacks: list[keras.callbacks.Callback]) -> list[np.ndarray] | None:
    stopping = [c for c in callbacks if isinstance(c, keras.callbacks.EarlyStopping)]
    return stopping[0].best_weights if stopping else None


def save(
    target: Path,
    model: keras.Model,
    callbacks: list[keras.callbacks.Callback],
    history: list[dict[str, float]],
) -> None:
    """Write the state after an epoch, whole or not at all.

    Args:
        target: the file.
        model: compiled and built.
        callbacks: EarlyStopping and ReduceLROnPlateau, as far as they are used.
        history: one row an epoch.
    """
    arrays = {
        f"variable/{index}": np.array(keras.ops.convert_to_numpy(variable))
        for index, variable in enumerate(_variables(model))
    }
    for index, array in enumerate(_best_weights(callbacks) or []):
        arrays[f"best/{index}"] = np.ascontiguousarray(array)
    memory = {type(callback).__name__: _memory_of(callback) for callback in callbacks}
    facts = {"state": json.dumps({"callbacks": memory, "history": history})}
    with atomic_file(target) as partial:
        partial.write_bytes(serialize(arrays, metadata=facts))


def history_of(source: Path) -> list[dict[str, float]]:
    """The history that `save` wrote."""
    with safe_open(source, framework="numpy") as file:
        history: list[dict[str, float]] = json.loads(file.metadata()["state"])["history"]
        return history


def restore(
    source: Path, model: keras.Model, callbacks: list[keras.callbacks.Callback]
) -> list[dict[str, float]]:
    """Put model, optimizer and callbacks into the state that `save` wrote; returns the history."""
    with safe_open(source, framework="numpy") as file:
        state = json.loads(file.metadata()["state"])
        for index, variable in enumerate(_variables(model)):
            variable.assign(file.get_tensor(f"variable/{index}"))
        best = sum(name.startswith("best/") for name in file.keys())  # noqa: SIM118 (no dict)
        arrays = [file.get_tensor(f"best/{index}") for index in range(best)]
    for callback in callbacks:
        for name, value in state["callbacks"][type(callback).__name__].items():
            whole = name in ("wait", "stopped_epoch", "best_epoch", "cooldown_counter")
            setattr(callback, name, int(value) if whole and value is not None else value)
        if isinstance(callback, keras.callbacks.EarlyStopping) and arrays:
            callback.best_weights = arrays
    history: list[dict[str, float]] = state["history"]
    return history
