"""Look whether a service would start, and say what is right and what is wrong. Nothing is changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ...common.atomic_write import check_folder
from ...common.errors import InputError, MissingPackageError, OutputError, SavedStateError, StepcellError
from ...common.printable import counted
from ...streams.model import Model, load
from ...streams.store_file import StoreFile
from ..adapters.http import listen
from ..adapters.http_guard import parse_address, read_token
from ..adapters.mqtt_check import reach_broker
from .coming import check_interface
from .options import ServeOptions
from .recent import stored_interface
from .start import new_service, read_threshold_of
from .store import ServiceStore

_PACKAGES = {"mqtt": ("paho.mqtt",), "http": ("starlette", "uvicorn", "prometheus_client")}
_OTHERS = stat.S_IRWXO | stat.S_IWGRP  # rights that nobody else has to a secret


class Finding(NamedTuple):
    """What was looked at, whether it is right, and what was found."""

    what: str
    is_right: bool
    text: str


def check_service(options: ServeOptions) -> Iterator[Finding]:
    """Look at everything that a service needs, and yield what is found, one after the other."""
    packages = _look("packages", lambda: _packages(options))
    yield packages
    models: list[Model] = []
    yield _look("model", lambda: _model(options, models))
    model = models[0] if models else None
    if model is not None:
        if options.threshold is not None:
            yield _look("threshold", lambda: _threshold(model, options))
        if packages.is_right:
            yield _look("options", lambda: _options(model, options))
    yield _look("store", lambda: _store(options, model))
    for path in options.file:
        yield _look("input", lambda path=path: _input(path, follow=options.follow))  # type: ignore[misc]
    if options.out is not None:
        yield _look("output", lambda: _writable(Path(options.out or "")))
    for secret in (options.mqtt_password_file, options.http_token_file):
        if secret is not None:
            yield _look("secret", lambda path=secret: _secret(path))  # type: ignore[misc]
    broker = options.mqtt_options()
    if broker is not None and packages.is_right:
        yield _look("broker", lambda: reach_broker(broker))
    if options.http is not None:
        yield _look("address", lambda: _address(options))


def _look(what: str, function: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, function())
    except (StepcellError, OSError) as error:
        return Finding(what, False, str(error))


def _packages(options: ServeOptions) -> str:
    wanted = [name for option, names in _PACKAGES.items() if getattr(options, option) is not None for name in names]
    missing = [name for name in wanted if not _is_there(name)]
    if missing:
        raise MissingPackageError(f"{', '.join(missing)}: install them with pip install 'stepcell[serve]'.")
    return "installed: " + ", ".join(wanted) if wanted else "none are needed"


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def _model(options: ServeOptions, models: list[Model]) -> str:
    assert options.model is not None, "read_options has looked"
    model = load(options.model, backend=options.backend)
    models.append(model)
    fingerprint = model.manifest.fingerprint[:12]
    return f"{model.file.name}, {fingerprint}..., repeats its golden sequence on {model.backend}"


def _threshold(model: Model, options: ServeOptions) -> str:
    read_threshold_of(model, options.threshold)
    return f"{options.threshold} was calibrated with this model"


def _options(model: Model, options: ServeOptions) -> str:
    """Put the service together, with a store that is thrown away."""
    with TemporaryDirectory() as folder, ServiceStore(Path(folder) / "store", model.file) as store:
        service = new_service(model, options, store, lambda _: None)
        for source in service.sources:
            service.engine.reader(source.name)
        sources, outputs = (_kinds([each.name for each in many]) for many in (service.sources, service.outputs))
    return f"fit the model; records come by {sources}" + (f", answers go by {outputs}" if outputs else "")


def _kinds(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(name.partition(":")[0] for name in names))


def _store(options: ServeOptions, model: Model | None) -> str:
    path = options.store
    if not path.exists():
        if not path.absolute().parent.is_dir():
            raise OutputError(f"There is no folder {path.parent} for {path.name}. Make it: mkdir -p {path.parent}")
        check_folder(path.absolute().parent)
        return f"{path} is made at the start"
    try:
        with StoreFile(path) as found:
            text = f"{path}, schema {found.version}, {counted(found.count(), 'stream')}"
            if model is not None and found.fingerprint != model.manifest.fingerprint and found.count():
                check_interface(stored_interface(found), model, str(path))
                text += f" of the model {found.fingerprint[:12]}..., which are caught up with this one at the start"
            is_used = found.in_use
    except SavedStateError as error:
        if type(error) is not SavedStateError:
            raise
        text, is_used = f"{path} is of schema 1 and becomes one of this version at the start", False
    _writable(path)
    check_folder(path.absolute().parent)  # for the files beside it
    return f"{text}{', in use by a running service' if is_used else ''}"


def _input(path: Path, *, follow: bool) -> str:
    if not path.exists():
        if follow:
            return f"{path} is not there yet, and is waited for"
        raise InputError(f"There is no file {path}. --follow waits for it.")
    if not path.is_file() and not stat.S_ISFIFO(path.stat().st_mode):
        raise InputError(f"{path} is no file.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read by this user.")
    return f"{path} can be read"


def _writable(path: Path) -> str:
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path} cannot be written by this user.")
    if not path.exists():
        if not path.absolute().parent.is_dir():
            raise OutputError(f"There is no folder {path.parent} for {path.name}. Make it: mkdir -p {path.parent}")
        check_folder(path.absolute().parent)
    return f"{path} can be written"


def _secret(path: Path) -> str:
    if not path.exists():
        raise InputError(f"There is no file {path}.")
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & _OTHERS:
        raise InputError(f"{path} is a secret, and others have rights to it (mode {mode:03o}): chmod 600 {path}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read by this user.")
    return f"{path} can be read by its owner alone" if not mode & stat.S_IRWXG else f"{path} can be read by its group"


def _address(options: ServeOptions) -> str:
    address = parse_address(str(options.http))
    if options.http_token_file is not None:
        read_token(options.http_token_file)
    try:
        listen(address).close()
    except InputError:
        if options.store.exists():
            with StoreFile(options.store) as found:
                if found.in_use:
                    return f"{address} is taken, as the store is, by a running service"
        raise
    return f"{address} is free"
