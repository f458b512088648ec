"""Which broker, as whom, and which topics: the options of MQTT, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...common.errors import InputError, MissingPackageError, OptionError
from .mqtt_topics import TopicTemplate

if TYPE_CHECKING:
    import ssl

USER, PASSWORD = "STEPCELL_MQTT_USER", "STEPCELL_MQTT_PASSWORD"  # of the environment
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class MqttOptions:
    """The connection to a broker.

    Attributes:
        url: mqtt://HOST[:PORT], or mqtts:// for TLS.
        topic_in: Template of the topics to read; None: none are read.
        topic_out: Template of the topics of answers; None: there are no answers by MQTT.
        client_id: Names the session that the broker keeps; "": one of the store.
        status: Topic under which status, watermarks and errors stand; "": stepcell/CLIENT_ID.
        user: Name to log in with; "": that of the environment, if there is one.
        password_file: File of the password; None: that of the environment, if there is one.
        ca: File of the certificates that the broker's is verified with; None: those of the system.

    Raises:
        OptionError: They cannot be used; the message names all problems.
    """

    url: str
    topic_in: str | None = None
    topic_out: str | None = None
    client_id: str = ""
    status: str = ""
    user: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    host: str = field(init=False, default="")
    port: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Check the options."""
        problems = self._take_address()
        for option, text, wildcards in (("--mqtt-in", self.topic_in, True), ("--mqtt-out", self.topic_out, False)):
            try:
                if text is not None:
                    TopicTemplate(text, option, wildcards=wildcards)
            except OptionError as error:
                problems.append(str(error).rstrip("."))
        if self.topic_in is not None and self.topic_in.startswith("$share"):
            problems.append("--mqtt-in is a shared subscription, and every symbol of a stream must come here")
        if self.status and (set(self.status) & set("+#{}\0") or self.status.startswith("$")):
            problems.append(
                f"--mqtt-status {self.status!r} is a plain topic, without +, #, {{}} and without $ in front"
            )
        if any(not char.isprintable() for char in self.client_id) or len(self.client_id.encode(errors="replace")) > 200:
            problems.append("--mqtt-client-id has at most 200 printable characters")
        if self.ca is not None and not self.is_tls:
            problems.append("--mqtt-ca is for TLS: write mqtts:// in front of the broker")
        if not problems:
            problems += self._read_again()
        if problems:
            raise OptionError(f"{'; '.join(problems)}.")

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("mqtts://")

    @property
    def address(self) -> str:
        """The broker, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.is_tls else 'mqtt'}://{host}:{self.port}"

    def credentials(self) -> tuple[str | None, str | None]:
        """Return user and password.

        Raises:
            InputError: The file of the password cannot be read.
            OptionError: There is a password, and no user.
        """
        user = self.user or os.environ.get(USER) or None
        password = os.environ.get(PASSWORD) or None
        if self.password_file is not None:
            try:
                password = self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
                raise InputError(f"Cannot read the password in {self.password_file}: {reason}.") from error
        if password is not None and user is None:
            raise OptionError(f"There is a password for {self.address}, and no user: give --mqtt-user, or set {USER}.")
        return user, password

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what the broker is verified with; None: the connection is not encrypted.

        Raises:
            InputError: The certificates cannot be read.
        """
        if not self.is_tls:
            return None
        import ssl

        try:
            return ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"Cannot read the certificates in {self.ca}: {error.strerror or error}.") from error

    def _take_address(self) -> list[str]:
        """Set host and port; return the problems of the URL, without showing a password."""
        scheme, separator, rest = self.url.partition("://")
        if "@" in rest:
            return [
                f"the address of the broker has a user or a password in it, which other users of the machine can see: "
                f"write --mqtt {scheme}://{rest.rpartition('@')[2]}, and give --mqtt-user and --mqtt-password-file, "
                f"or set {USER} and {PASSWORD}"
            ]
        wanted = f"--mqtt {self.url!r} is no broker: write mqtt://HOST, mqtt://HOST:PORT or mqtts://HOST for TLS"
        if scheme not in _PORTS or not separator:
            return [wanted]
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return [wanted]
        if not host or parts.path not in ("", "/") or parts.query or parts.fragment or port == 0:
            return [wanted]
        object.__setattr__(self, "host", host)
        object.__setattr__(self, "port", port or _PORTS[scheme])
        return []

    def _read_again(self) -> list[str]:
        """Name the topics that would be written to and read."""
        if self.topic_in is None:
            return []
        read = TopicTemplate(self.topic_in, "--mqtt-in", wildcards=True)
        written = {"the status": [f"{self.status or 'stepcell/stepcell-0'}/status"]}
        if self.topic_out is not None:
            answers = TopicTemplate(self.topic_out, "--mqtt-out")
            written[f"--mqtt-out {self.topic_out!r}"] = [answers.topic(stream) for stream in ("a", "a/b")]
        return [
            f"{name} would be read again by --mqtt-in {self.topic_in!r}: let them be topics apart"
            for name, topics in written.items()
            if any(map(read.matches, topics))
        ]


def import_paho() -> None:
    """Import paho-mqtt.

    Raises:
        MissingPackageError: It is not installed, or is older than 2.0.
    """
    try:
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: F401 - of 2.0
    except ImportError as error:
        raise MissingPackageError(
            "MQTT needs paho-mqtt 2.0 or later. Install it: pip install 'stepcell[serve]'"
        ) from error
