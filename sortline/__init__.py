"""Sortline: retrain, gate and serve an image classifier, from one graph of steps."""


def __getattr__(name: str) -> str:
    # The version comes from git when the package is built: no source names it, and no step's code
    # changes with it.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sortline")
    except PackageNotFoundError:  # A copy of the sources, as in the images.
        return "0+unknown"
