"""Show streams in Home Assistant: a device for each, found by MQTT discovery."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from .base import Answered, Cursor, Outcome
from .mqtt_connection import MqttConnection

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

PREFIX = "homeassistant"  # of discovery, as Home Assistant has it unless it is told otherwise
MOST_DEVICES = 1_000
TOP = 3  # symbols among the attributes
_VERSION = 12  # digits of the fingerprint
_LONGEST_STATE = 255  # characters of a state in Home Assistant
_SHOWN = ("input", "seq", "surprise", "rank", "alert")  # fields of an answer that become attributes


class HomeAssistant:
    """Announces a device for each stream, with a sensor "Next event" and, with a threshold, one "Unusual".

    Announcements are retained, and sent again when Home Assistant says that it is online.
    """

    name = "home-assistant"
    subscription = f"{PREFIX}/status"

    def __init__(
        self, connection: MqttConnection, model: str, fingerprint: str, *, has_threshold: bool, expire_after: int
    ) -> None:
        """Announce streams of a model.

        Args:
            connection: To the broker that Home Assistant uses.
            model: Name of the model.
            fingerprint: Its fingerprint.
            has_threshold: Whether unusual symbols are marked.
            expire_after: Seconds without an event after which the sensors become unavailable; 0: they never do.
        """
        self._connection = connection
        self._device = {"manufacturer": "stepcell", "model": model, "sw_version": fingerprint[:_VERSION]}
        self._has_threshold, self._expire_after = has_threshold, expire_after
        self._cursor = Cursor(0)
        self._ids: dict[str, str] = {}  # stream -> id of its device
        connection.add(self)

    def announce(self, streams: Iterable[str]) -> None:
        """Announce streams that are known already, as soon as there is a connection."""
        self._connection.post(partial(self._announce_known, tuple(islice(streams, MOST_DEVICES))))

    def start(self, cursor: Cursor) -> None:
        """See `Output.start`."""
        self._cursor = cursor
        self._connection.open()

    def deliver(self, group: int, answers: Sequence[Answered]) -> None:
        """See `Output.deliver`; only what comes now is shown, by `take`, so that no answer is kept for later."""
        self._cursor = Cursor(group)

    def cursor(self) -> Cursor:
        """See `Output.cursor`."""
        return self._cursor

    def close(self) -> None:
        """See `Output.close`."""
        self._connection.close()

    def take(self, outcomes: Sequence[Outcome]) -> None:
        """Show the outcomes of a group; see `Service.subscribe`."""
        states, version = dict[str, dict[str, Any]](), self._device["sw_version"]
        for outcome in outcomes:
            if outcome.stream is None or outcome.content is None or not (best := outcome.content.best(TOP)):
                continue
            was_unusual = states.get(outcome.stream, {}).get("unusual") == "ON"
            values = outcome.values
            version = str(values.get("model", version))[:_VERSION]
            states[outcome.stream] = state = state_of(values, best)
            is_unusual = state.pop("alert", False)
            if self._has_threshold:  # one in the middle of a group is not to be missed
                state["unusual"] = "ON" if was_unusual or is_unusual else "OFF"
        if states:
            self._connection.post(partial(self._show, states, version))

    def matches(self, topic: str) -> bool:
        """See `Subscriber.matches`."""
        return topic == self.subscription

    def connected(self, session_present: bool) -> None:
        """See `Subscriber.connected`; a broker without a session may have lost what is retained too."""
        if not session_present:
            self._announce_all()

    def received(self, message: MQTTMessage) -> None:
        """See `Subscriber.received`."""
        if message.qos:
            self._connection.acknowledge(self._connection.client, message.mid)
        if message.payload == b"online":
            self._announce_all()

    def tick(self) -> float:
        """See `Subscriber.tick`; nothing is ever due."""
        return 1.0

    def _show(self, states: Mapping[str, Mapping[str, Any]], version: str) -> None:
        if version != self._device["sw_version"]:  # a new model has taken over
            self._device["sw_version"] = version
            self._announce_all()
        for stream, state in states.items():
            if (found := self._announce(stream)) is not None:
                text = json.dumps(state, ensure_ascii=False)
                self._connection.sender.publish_latest(self._state_topic(found), text.encode(errors="replace"))

    def _announce_known(self, streams: Sequence[str]) -> None:
        for stream in streams:
            self._announce(stream)

    def _announce(self, stream: str) -> str | None:
        """Announce a stream if it has not been, and return the id of its device; None: there are too many."""
        found = self._ids.get(stream)
        if found is None and len(self._ids) < MOST_DEVICES:
            found = self._ids[stream] = device_id(self._connection.client_id, stream)
            self._send(stream, found)
        return found

    def _announce_all(self) -> None:
        for stream, found in self._ids.items():
            self._send(stream, found)

    def _send(self, stream: str, device: str) -> None:
        text = json.dumps(self._discovery(stream, device), ensure_ascii=False)
        self._connection.sender.publish_latest(f"{PREFIX}/device/{device}/config", text.encode(errors="replace"))

    def _discovery(self, stream: str, device: str) -> dict[str, Any]:
        name = "".join(char if char.isprintable() else "?" for char in stream)[:100] or "stepcell"
        topic = self._state_topic(device)
        common = {"state_topic": topic} | ({"expire_after": self._expire_after} if self._expire_after else {})
        components = {
            "next_event": {
                "platform": "sensor", "name": "Next event", "unique_id": f"{device}_next_event", **common,
                "value_template": "{{ value_json.event }}", "json_attributes_topic": topic,
            },
        }  # fmt: skip
        if self._has_threshold:
            components["unusual"] = {
                "platform": "binary_sensor", "name": "Unusual", "unique_id": f"{device}_unusual", **common,
                "device_class": "problem", "value_template": "{{ value_json.unusual }}",
            }  # fmt: skip
        return {
            "device": {"identifiers": [device], "name": name, **self._device},
            "origin": {"name": "stepcell"},
            "cmps": components,
            "availability": [{"topic": f"{self._connection.status}/status"}],
            "qos": 1,
        }

    def _state_topic(self, device: str) -> str:
        return f"{self._connection.status}/home-assistant/{device}"


def state_of(values: Mapping[str, Any], best: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return the state of the sensors: the next event, the likeliest ones, and fields of the answer."""
    top = [{"symbol": symbol, "probability": round(p, 6)} for symbol, p in best]
    state = {"event": best[0][0][:_LONGEST_STATE], "probability": top[0]["probability"], "top": top}
    return state | {name: values[name] for name in _SHOWN if name in values}


def device_id(client_id: str, stream: str) -> str:
    """Return the id of the device of a stream, of letters, digits, `_` and `-`.

    Other characters become `_`; then, or where it is long, a part of the sha256 of the name tells it from others.
    """
    return f"{_plain(client_id)}_{_plain(stream)}"


def _plain(name: str) -> str:
    plain = re.sub("[^a-zA-Z0-9_-]+", "_", name)[:64]
    if plain == name and name:
        return plain
    return f"{plain}_{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"
