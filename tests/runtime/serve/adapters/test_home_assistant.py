"""Devices in Home Assistant: what it subscribes to, against the schema that docs/serve.md has of its discovery."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from support.models import DATA
from support.mosquitto import wait_for
from support.pages import DOCS
from support.served import Served

from stepcell.runtime import load
from stepcell.runtime.common.errors import OptionError
from stepcell.runtime.serve.adapters.base import STEPPED, Incoming, Outcome
from stepcell.runtime.serve.adapters.home_assistant import HomeAssistant, device_id
from stepcell.runtime.serve.answer import Answer

MODEL = load(DATA / "memory.tflite", backend="numpy")
STATUS = "plant/stepcell"
ODD = ("press", "<script>alert(1)</script>", "ü/é+#$", "a/b", "a_b", "line\n2", "x" * 500, "{{ states('a') }}", "")


def schema():
    """The JSON schema of a discovery message, from the page."""
    page = (DOCS / "serve.md").read_text()
    (found,) = re.findall(r"<!-- schema of discovery -->\n```json\n(.*?)```", page, re.DOTALL)
    return json.loads(found)


def serving(tmp_path, broker, **options):
    options = {"mqtt_in": "events", "mqtt_status": STATUS, "mqtt_client_id": "pi", "home_assistant": True, **options}
    return Served(tmp_path / "state.db", MODEL, mqtt=broker.url, **options)


def is_online(peer):
    wait_for(lambda: peer.payloads(f"{STATUS}/status")[-1:] == [b"online"], "online")


def record(stream, symbol, **more):
    return json.dumps({"stream": stream, "symbol": symbol, **more})


def discovery(peer, stream="press", count=1):
    return json.loads(peer.wait(f"homeassistant/device/{device_id('pi', stream)}/config", count)[-1])


def states(peer, stream="press", count=1):
    return [json.loads(each) for each in peer.wait(f"{STATUS}/home-assistant/{device_id('pi', stream)}", count)]


def test_a_stream_becomes_a_device_with_the_next_event_and_the_likeliest_ones(tmp_path, broker):
    with broker.client(f"{STATUS}/#", "homeassistant/#") as peer, serving(tmp_path, broker):
        is_online(peer)
        peer.publish("events", record("press", "0", seq=4))
        found = discovery(peer)
        (sensor,) = found["cmps"].values()
        assert (sensor["platform"], sensor["name"], found["device"]["name"]) == ("sensor", "Next event", "press")
        assert sensor["value_template"] == "{{ value_json.event }}"
        assert found["availability"] == [{"topic": f"{STATUS}/status"}]
        peer.wait(sensor["state_topic"])
        (state,) = states(peer)
        best = MODEL.stream().step("0")
        assert (state["event"], state["input"], state["seq"]) == (best.symbol, "0", 4)
        assert [each["symbol"] for each in state["top"]] == [symbol for symbol, _ in best.top(3)]
        assert state["probability"] == pytest.approx(best.probability, abs=1e-6)
    with broker.client("homeassistant/#", f"{STATUS}/home-assistant/#") as later:  # Home Assistant was started later
        assert discovery(later) == found
        assert states(later) == [state]


def test_every_discovery_message_is_as_the_schema_of_home_assistant_says(tmp_path, broker):
    from jsonschema import Draft202012Validator

    with broker.client("homeassistant/#", f"{STATUS}/#") as peer, serving(tmp_path, broker, alert_below=0.2):
        is_online(peer)
        peer.publish_all([("events", record(stream, "0")) for stream in ODD])
        topics = {f"homeassistant/device/{device_id('pi', stream)}/config" for stream in ODD}
        assert len(topics) == len(ODD)
        for topic in topics:
            assert re.fullmatch("homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
            (payload,) = peer.wait(topic)
            Draft202012Validator(schema()).validate(json.loads(payload))
        names = [discovery(peer, stream)["device"]["name"] for stream in ODD]
        assert names[1] == ODD[1]  # text, not part of a topic, an id or a template
        assert names[5:] == ["line?2", "x" * 100, ODD[7], "stepcell"]
        for stream in ODD:
            (state,) = states(peer, stream)
            text = json.dumps(discovery(peer, stream)["cmps"])
            assert "script" not in text.replace("_script_alert_1_script_", "")
            assert "states(" not in text
            assert state["unusual"] in ("ON", "OFF")


def test_a_threshold_adds_a_sensor_of_what_is_unusual(tmp_path, broker):
    with broker.client("homeassistant/#", f"{STATUS}/#") as peer, serving(tmp_path, broker, alert_below=0.2):
        is_online(peer)
        peer.publish_all([("events", record("press", symbol)) for symbol in "0"])
        unusual = discovery(peer)["cmps"]["unusual"]
        assert (unusual["platform"], unusual["device_class"]) == ("binary_sensor", "problem")
        assert unusual["value_template"] == "{{ value_json.unusual }}"
        states(peer)
        likeliest = MODEL.stream().step("0").top(99)
        peer.publish("events", record("press", likeliest[-1][0]))
        state = states(peer, count=2)[-1]
        assert state["unusual"] == "ON"
        assert state["surprise"] > 2


def test_without_a_threshold_nothing_is_called_unusual(tmp_path, broker):
    with broker.client("homeassistant/#", f"{STATUS}/#") as peer, serving(tmp_path, broker):
        is_online(peer)
        peer.publish("events", record("press", "0"))
        assert list(discovery(peer)["cmps"]) == ["next_event"]
        assert "unusual" not in states(peer)[0]


def test_devices_are_announced_again_when_home_assistant_comes_online(tmp_path, broker):
    with broker.client("homeassistant/#", f"{STATUS}/#") as peer:
        with serving(tmp_path, broker):
            is_online(peer)
            peer.publish("events", record("press", "0"))
            discovery(peer)
            peer.publish("homeassistant/status", "offline")
            peer.publish("homeassistant/status", "online")
            assert discovery(peer, count=2) == discovery(peer)
        with serving(tmp_path, broker):  # it knows its streams from the store
            discovery(peer, count=3)


def test_devices_are_announced_again_with_the_version_of_a_new_model():
    sent = []
    sender = SimpleNamespace(publish_latest=lambda topic, payload: sent.append((topic, json.loads(payload))))
    connection = SimpleNamespace(
        add=lambda _: None, post=lambda function: function(), sender=sender, client_id="pi", status=STATUS
    )
    shown = HomeAssistant(connection, "memory", "a" * 64, has_threshold=False, expire_after=0)
    content = Answer("0", MODEL.stream().step("0"))
    for stream, fingerprint in (("saw", "a" * 64), ("press", "b" * 64)):
        answer = json.dumps({"input": "0", "model": fingerprint})
        shown.take([Outcome(Incoming(b""), STEPPED, answer, stream, content=content)])
    versions = [(each["device"]["name"], each["device"]["sw_version"]) for topic, each in sent if "device" in each]
    assert versions == [("saw", "a" * 12), ("saw", "b" * 12), ("press", "b" * 12)]


def test_sensors_expire_unless_that_is_turned_off(tmp_path, broker):
    with broker.client("homeassistant/#", f"{STATUS}/#") as peer:
        for seconds, found in ((60, [60]), (0, [])):
            with serving(tmp_path, broker, home_assistant_expire=seconds):
                is_online(peer)
                peer.publish("events", record(f"s{seconds}", "0"))
                (sensor,) = discovery(peer, f"s{seconds}")["cmps"].values()
                assert [sensor[name] for name in sensor if name == "expire_after"] == found


def test_it_needs_a_broker_and_a_model_of_symbols(tmp_path):
    with pytest.raises(OptionError, match="--home-assistant needs --mqtt"):
        Served(tmp_path / "state.db", MODEL, home_assistant=True)
