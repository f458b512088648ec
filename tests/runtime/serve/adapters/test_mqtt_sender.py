"""Messages to a broker come in order and are kept until they are acknowledged, however often the connection is lost."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from stepcell.runtime.serve.adapters.mqtt_sender import MOST_SENT, MqttSender


class Client:
    """A connection: what was published on it, by number."""

    def __init__(self):
        self.published = {}

    def publish(self, topic, payload, qos, retain):
        assert qos == 1
        self.published[len(self.published) + 1] = (topic, payload, retain)
        return SimpleNamespace(mid=len(self.published))


STATUS = ("status", b"online")
STEPS = st.lists(st.sampled_from(["publish", "acknowledge", "lose", "connect", "latest"]), max_size=60)


@given(STEPS, st.integers(1, 5))
@settings(max_examples=300)
def test_every_message_is_acknowledged_once_and_in_order(steps, window):
    sender, client, done, count = MqttSender(), None, [], 0
    acknowledged = 0  # in this connection
    arrived = []  # at the broker
    for step in [*steps, "connect", *["acknowledge"] * 200]:
        if step == "publish":
            sender.publish("t", b"%d" % count, done=lambda number=count: done.append(number))
            count += 1
        elif step == "latest":
            sender.publish_latest("w", b"%d" % count)
        elif step == "lose":
            arrived += [] if client is None else client.published.values()
            client = sender.disconnected()
        elif step == "connect" and client is None:
            client, acknowledged = Client(), 0
            sender.connected(client, window, STATUS)
            assert client.published[1] == (*STATUS, True)
        elif step == "acknowledge" and client is not None and acknowledged < len(client.published):
            acknowledged += 1
            sender.acknowledged(acknowledged)
        assert client is None or len(client.published) - acknowledged <= window
    arrived += client.published.values()
    assert done == list(range(count))
    assert sender.is_empty
    first = list(dict.fromkeys(payload for topic, payload, _ in arrived if topic == "t"))
    assert first == [b"%d" % number for number in range(count)]


def test_of_a_retained_topic_only_the_latest_value_is_sent():
    sender, client = MqttSender(), Client()
    sender.connected(client, 10, STATUS)
    for value in range(5):
        sender.publish_latest("w", b"%d" % value)
    assert list(client.published.values())[1:] == [("w", b"0", True)]
    sender.acknowledged(2)
    assert list(client.published.values())[2:] == [("w", b"4", True)]


def test_no_more_messages_are_on_their_way_than_the_broker_takes():
    for window, expected in ((3, 3), (65_535, MOST_SENT), (0, 1)):
        sender, client = MqttSender(), Client()
        for _ in range(200):
            sender.publish("t", b"")
        sender.connected(client, window, STATUS)
        assert len(client.published) == expected


def test_an_unknown_acknowledgement_is_nothing():
    sender = MqttSender()
    sender.acknowledged(7)
    assert sender.topic(7) == "a topic"
