"""Code that the user names for classes that a model file refers to; never code from the model file."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from ...runtime.common.errors import SourceError

# First part of the name of a module, or of the package under which a class is registered -> what registers its classes.
_PACKAGES = {
    "ncps": "import ncps.keras",
    "keras_lmu": "import keras_lmu",
    "keras-lmu": "import keras_lmu",
    "tcn": "import tcn",
}


_NOT_THE_USERS = {"keras", "builtins", "tensorflow", "numpy", "__future__"} | set(sys.stdlib_module_names)


def import_custom(files: Sequence[Path]) -> None:
    """Import Python files, and let Keras know the classes and functions in them by their names.

    Classes with a configuration in the packages that a file imports are known too: a wired cell of ncps refers to
    `AutoNCP`, which ncps does not register.

    Raises:
        SourceError: A file is missing, or fails.
    """
    for file in files:
        module = _imported(file)
        import keras

        known = keras.saving.get_custom_objects()
        packages = set()
        for name, value in vars(module).items():
            package = str(getattr(value, "__name__" if inspect.ismodule(value) else "__module__", "")).split(".")[0]
            if package in _NOT_THE_USERS:
                continue
            packages.add(package)
            is_function = inspect.isfunction(value) and value.__module__ == module.__name__
            if is_function or (inspect.isclass(value) and hasattr(value, "get_config")):
                known.setdefault(name, value)
        for name, value in _configured_classes(packages - {"", module.__name__}):
            if keras.saving.get_registered_name(value) == name:  # else it is registered under its package
                known.setdefault(name, value)


def _configured_classes(packages: set[str]) -> list[tuple[str, type]]:
    """Return the classes that are defined in imported modules of packages and have a configuration, by their names."""
    modules = [module for path, module in list(sys.modules.items()) if path.split(".")[0] in packages]
    return [
        (name, value)
        for module in modules
        for name, value in list(vars(module).items())
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "get_config")
    ]


def how_to_import(names: Sequence[str]) -> str:
    """Return what to do about classes that are not known here.

    Args:
        names: Their full names, "ncps.keras.cfc.CfC" or "ncps>CfC" for example.
    """
    lines = sorted({_PACKAGES[first] for name in names if (first := name.replace(">", ".").split(".")[0]) in _PACKAGES})
    file = f", a file with the line{'s' if len(lines) > 1 else ''} {'; '.join(lines)}" if lines else ""
    return f"Name the Python file that defines it: --custom FILE.py{file}"


def _imported(file: Path) -> ModuleType:
    if not file.is_file():
        raise SourceError(f"There is no file {file}. Give the Python file that defines the classes of the model.")
    spec = spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise SourceError(f"{file} is no Python file. Give the one that defines the classes of the model: my_cells.py")
    module = module_from_spec(spec)
    sys.path.insert(0, str(file.resolve().parent))  # its neighbours
    try:
        sys.modules.setdefault(file.stem, module)
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the code of the user raises
        raise SourceError(
            f"{file} cannot be imported: {type(error).__name__}: {error}. Nothing was written."
        ) from error
    finally:
        sys.path.pop(0)
    return module
