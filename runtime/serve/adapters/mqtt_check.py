"""Try whether a broker takes a connection."""

from __future__ import annotations

import secrets
import time
from typing import Any

from ...common.errors import InputError
from .mqtt_options import MqttOptions, import_paho

_PATIENCE = 5.0  # seconds


def reach_broker(options: MqttOptions) -> str:
    """Connect to a broker and take leave, under a name of its own: the session of a running service stays.

    Returns:
        What was found, for people.

    Raises:
        MissingPackageError, InputError, OptionError: There is no connection, or it cannot be tried.
    """
    import_paho()
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    user, password = options.credentials()
    tls = options.tls_context()
    answers: list[Any] = []
    client = Client(
        CallbackAPIVersion.VERSION2, f"stepcell-check-{secrets.token_hex(4)}", protocol=MQTTProtocolVersion.MQTTv5
    )
    client.connect_timeout = _PATIENCE
    client.username_pw_set(user, password)
    if tls is not None:
        client.tls_set_context(tls)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(reason)
    until = time.monotonic() + _PATIENCE
    try:
        client.connect(options.host, options.port, clean_start=True)
        while not answers and time.monotonic() < until:
            client.loop(0.1)
    except OSError as error:  # those of TLS and of names are of this kind
        raise InputError(f"{options.address} cannot be reached: {error.strerror or error}.") from error
    finally:
        client.disconnect()
    if not answers:
        raise InputError(f"{options.address} does not answer within {_PATIENCE:g} seconds. Is it an MQTT 5 broker?")
    if answers[0].is_failure:
        raise InputError(f"{options.address} refuses the connection: {answers[0]}.")
    return f"{options.address} takes a connection" + ("" if user is None else f" of {user}")
