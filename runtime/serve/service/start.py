"""Put a service together from its options, and run it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ...common.errors import OptionError
from ...common.printable import counted
from ...streams.model import Model, load
from ...streams.prediction import main_field
from ...tasks.anomaly import Threshold, read_threshold
from ...tasks.residuals import ResidualThreshold, read_residual_threshold
from ..adapters.base import Output, Source
from ..adapters.files import FileSource
from ..adapters.home_assistant import HomeAssistant
from ..adapters.http import HttpSource
from ..adapters.http_guard import parse_address, read_token
from ..adapters.mqtt import MqttOutput, MqttSource
from ..adapters.mqtt_connection import MqttConnection
from ..adapters.mqtt_topics import TopicTemplate
from ..adapters.out_file import FileOutput
from ..adapters.stdio import Stdin, Stdout
from ..rotation import Rotation
from .engine import Engine
from .expiry import LOOK_EVERY, Expiry
from .handover import take_over_at_start
from .options import ServeOptions
from .reload import Reloader
from .service import Service
from .store import Group, ServiceStore
from .view import watermarks_of


def serve(model: Model, options: ServeOptions, tell: Callable[[str], None]) -> int:
    """Serve a model until its sources end, or a signal comes.

    Args:
        model: The model.
        options: Sources, outputs, store, and how records are answered.
        tell: Takes remarks for the user.

    Returns:
        The number of the signal; 0: all sources have ended.

    Raises:
        OptionError: The options do not fit the model, or one another.
        OtherModelError, NewerStateError, DamagedStateError: The store cannot be used with this model.
        OutputError: The store or an output cannot be written. What was acknowledged is kept.
        InputError, UnknownSymbolError: A source cannot be read, or a record came at which to stop.
    """
    with ExitStack() as stack:
        store = stack.enter_context(ServiceStore(options.store, model.file, any_model=True))
        read_threshold_of(model, options.threshold)  # before anything is changed
        event = take_over_at_start(store, model, options, tell)
        service = new_service(model, options, store, tell)
        service.events += [] if event is None else [event]
        tell(f"{options.store}: {counted(store.count(), 'stream')}. Serving {model.file.name}.")
        if options.model is not None:
            load_again = partial(load, options.model, backend=options.backend)
            reloader = Reloader(service, options.model, load_again, partial(new_engine, store, options, tell))
            stack.enter_context(reloader.signal_handled())
        return service.run()


def new_engine(store: ServiceStore, options: ServeOptions, tell: Callable[[str], None], model: Model) -> Engine:
    """Return the engine of a model.

    Raises:
        OptionError, ThresholdError, OtherModelError: The options, or the threshold, do not fit it.
    """
    return Engine(model, store, options, read_threshold_of(model, options.threshold), tell)


def new_service(model: Model, options: ServeOptions, store: ServiceStore, tell: Callable[[str], None]) -> Service:
    """Return a service with the sources and outputs that options name; it has not begun.

    Raises:
        OptionError, ThresholdError, MissingPackageError, InputError: As `serve` says.
    """
    engine = new_engine(store, options, tell, model)
    sources, outputs = sources_of(options, tell), outputs_of(options, tell)
    home_assistant = add_mqtt(model, options, store, sources, outputs, tell)
    service = Service(engine, store, options, sources, outputs, tell)
    if home_assistant is not None:
        service.subscribe(home_assistant.take)
        home_assistant.announce(store.keys())
    if options.forget_after_seconds is not None:
        service.every(LOOK_EVERY, Expiry(service, options.forget_after_seconds).look)
    return service


def read_threshold_of(model: Model, path: Path | None) -> Threshold | ResidualThreshold | None:
    """Return the threshold in a file; None: there is no file.

    Raises:
        ThresholdError, OtherModelError: It cannot be read, or belongs to another model.
    """
    if path is None:
        return None
    return (read_threshold if model.manifest.labels is None else read_residual_threshold)(path, model.file)


def sources_of(options: ServeOptions, tell: Callable[[str], None]) -> list[Source]:
    """Return the sources that options name; stdin where they name none."""
    sources: list[Source] = []
    if options.reads_stdin:
        if sys.stdin is None:
            raise OptionError("There is no stdin to read records from. Name another source: --file, --mqtt, --http.")
        sources.append(Stdin(sys.stdin.buffer))
    sources += [FileSource(path, tell, follow=options.follow) for path in options.file]
    if options.http is not None:
        token = None if options.http_token_file is None else read_token(options.http_token_file)
        sources.append(HttpSource(parse_address(options.http), token, tell))
    return sources


def outputs_of(options: ServeOptions, tell: Callable[[str], None]) -> list[Output]:
    """Return the outputs that options name; stdout where records come from stdin."""
    outputs: list[Output] = []
    if options.reads_stdin:
        outputs.append(Stdout(sys.stdout.buffer))
    if options.out is not None:
        rotation = None if options.out_rotate is None else Rotation.parse(options.out_rotate)
        outputs.append(FileOutput(options.out, tell, rotation))
    return outputs


def add_mqtt(
    model: Model, options: ServeOptions, store: ServiceStore, sources: list[Source], outputs: list[Output],
    tell: Callable[[str], None],
) -> HomeAssistant | None:  # fmt: skip
    """Add source and output by MQTT, if options name them; return Home Assistant, if it is asked for.

    Raises:
        MissingPackageError, InputError, OptionError: paho-mqtt, the password or the certificates are missing, or the
            model has no symbols to show.
    """
    chosen = options.mqtt_options()
    if chosen is None:
        return None
    connection = MqttConnection(chosen, chosen.client_id or client_id(store), tell)
    if chosen.topic_in is not None:
        template = TopicTemplate(chosen.topic_in, "--mqtt-in", wildcards=True)
        sources.append(MqttSource(connection, template, watermarks_of))
    if chosen.topic_out is not None:
        outputs.append(MqttOutput(connection, TopicTemplate(chosen.topic_out, "--mqtt-out")))
    if not options.home_assistant:
        return None
    if main_field(model.manifest) != "symbol":
        raise OptionError(f"--home-assistant shows the next event, and {model.file.name} answers without symbols.")
    home_assistant = HomeAssistant(
        connection, model.manifest.name, model.manifest.fingerprint,
        has_threshold=options.threshold is not None or options.alert_below is not None,
        expire_after=options.home_assistant_expire,
    )  # fmt: skip
    outputs.append(home_assistant)
    return home_assistant


def client_id(store: ServiceStore) -> str:
    """Return the name of the session of a store at brokers; it is made once, for a broker keeps messages for it."""
    kept = store.position("mqtt client")
    if kept is None:
        kept = f"stepcell-{secrets.token_hex(4)}"
        store.commit(Group(store.last_group(), positions={"mqtt client": kept}))
    return str(kept)
