"""How stepcell connects to a broker and subscribes: the settings of paho-mqtt, in one place."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from paho.mqtt.client import Client

RECEIVE_MAXIMUM = 1_000  # messages that the broker may send before the first of them is acknowledged
SESSION_EXPIRY = 30 * 24 * 3600  # seconds that the broker keeps the session of a service that is away
KEEPALIVE = 30  # seconds; a broker that does not answer within twice this time is gone
CONNECT_TIMEOUT = 5.0  # seconds


def new_client(
    client_id: str, status: str, credentials: tuple[str | None, str | None], tls: ssl.SSLContext | None
) -> Client:
    """Return a client that acknowledges messages when it is told to.

    Args:
        client_id: Names the session.
        status: The topic on which the broker says "offline" when the connection is lost.
        credentials: User and password.
        tls: Verifies the broker; None: the connection is not encrypted.
    """
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    client = Client(
        CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True,
        reconnect_on_failure=False,
    )  # fmt: skip
    client.connect_timeout = CONNECT_TIMEOUT
    client.max_inflight_messages = 0  # without a limit: `MqttSender` has one
    client.will_set(status, "offline", qos=1, retain=True)
    client.username_pw_set(*credentials)
    if tls is not None:
        client.tls_set_context(tls)
    # With this callback paho writes in `loop_write` alone: a connection is never lost in the middle of `publish`.
    client.on_socket_register_write = lambda *_: None
    return client


def connect(client: Client, host: str, port: int) -> None:
    """Open a connection; the session goes on, or begins.

    Raises:
        OSError: There is none.
    """
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval, properties.ReceiveMaximum = SESSION_EXPIRY, RECEIVE_MAXIMUM
    client.connect(host, port, KEEPALIVE, clean_start=False, properties=properties)
    found = client.socket()
    if isinstance(found, socket.socket):
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def subscribe_options() -> Any:
    """Return the options of a subscription: QoS 1, and no retained messages."""
    from paho.mqtt.subscribeoptions import SubscribeOptions

    # Retained messages are of the past: a subscription that is made again must not bring them again.
    return SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
