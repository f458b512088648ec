"""Which options of MQTT are refused, and where topics lead."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcell.runtime.common.errors import InputError, OptionError
from stepcell.runtime.serve.adapters.mqtt_options import MqttOptions
from stepcell.runtime.serve.adapters.mqtt_topics import TopicTemplate, encode_name
from stepcell.runtime.serve.service.options import ServeOptions

URL = "mqtt://127.0.0.1"


@pytest.mark.parametrize(
    ("url", "host", "port", "is_tls"),
    [
        ("mqtt://127.0.0.1:1884", "127.0.0.1", 1884, False),
        ("mqtt://broker.local/", "broker.local", 1883, False),
        ("mqtts://broker", "broker", 8883, True),
        ("mqtt://[::1]:99", "::1", 99, False),
    ],
)
def test_a_url_names_host_port_and_tls(url, host, port, is_tls):
    options = MqttOptions(url)
    assert (options.host, options.port, options.is_tls) == (host, port, is_tls)
    assert MqttOptions(options.address).address == options.address


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mqtt": "127.0.0.1"}, "write mqtt://HOST"),
        ({"mqtt": "http://broker"}, "write mqtt://HOST"),
        ({"mqtt": "mqtt://broker:x"}, "write mqtt://HOST"),
        ({"mqtt": "mqtt://broker:0"}, "write mqtt://HOST"),
        ({"mqtt": "mqtt://broker/topic"}, "write mqtt://HOST"),
        ({"mqtt": None}, "--mqtt-in needs --mqtt"),
        ({"mqtt_in": None}, "--mqtt needs --mqtt-in, --mqtt-out or --home-assistant"),
        ({"mqtt_in": ""}, "it is empty"),
        ({"mqtt_in": "a/x{stream}"}, "stands for a whole level"),
        ({"mqtt_in": "{stream}/{stream}"}, "more than once"),
        ({"mqtt_in": "{stream:path}/a"}, "is the last level"),
        ({"mqtt_in": "a/#/b"}, "# for the last ones"),
        ({"mqtt_in": "a/b+"}, "stand for whole levels"),
        ({"mqtt_in": "a\0b"}, "control characters"),
        ({"mqtt_in": "$share/group/a"}, "shared subscription"),
        ({"mqtt_out": "a/+"}, "are for topics to subscribe to"),
        ({"mqtt_in": "a/{stream}", "mqtt_out": "a/{stream}"}, "would be read again"),
        ({"mqtt_in": "a/{stream:path}", "mqtt_out": "a/{stream}/answers"}, "would be read again"),
        ({"mqtt_in": "#"}, "the status would be read again"),
        ({"mqtt_in": "a/+/b", "mqtt_status": "a/x"}, "(none)"),
        ({"mqtt_status": "a/#"}, "is a plain topic"),
        ({"mqtt_client_id": "a\nb"}, "printable characters"),
        ({"mqtt_ca": "ca.pem"}, "write mqtts:// in front"),
    ],
)
def test_options_that_cannot_work_are_refused(tmp_path, options, message):
    chosen = {"mqtt": URL, "mqtt_in": "in/{stream}", **options}
    if message == "(none)":
        ServeOptions(store=tmp_path, **chosen)
        return
    with pytest.raises(OptionError) as refusal:
        ServeOptions(store=tmp_path, **chosen)
    assert message in str(refusal.value)


def test_a_password_in_the_address_is_refused_without_showing_it():
    with pytest.raises(OptionError) as refusal:
        MqttOptions("mqtt://pi:secret@broker:1884", "in")
    assert "secret" not in str(refusal.value)
    assert "write --mqtt mqtt://broker:1884, and give --mqtt-user and --mqtt-password-file" in str(refusal.value)


def test_all_problems_are_named_at_once():
    with pytest.raises(OptionError, match=r"--mqtt 'x'.*--mqtt-in 'a\{'.*--mqtt-out '\+'"):
        MqttOptions("x", "a{", "+")


def test_a_password_without_a_user_and_files_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("STEPCELL_MQTT_USER", raising=False)
    monkeypatch.setenv("STEPCELL_MQTT_PASSWORD", "secret")
    with pytest.raises(OptionError, match="a password for mqtt://127.0.0.1:1883, and no user"):
        MqttOptions(URL).credentials()
    assert MqttOptions(URL, user="pi").credentials() == ("pi", "secret")
    with pytest.raises(InputError, match="Cannot read the password"):
        MqttOptions(URL, user="pi", password_file=tmp_path / "none").credentials()
    with pytest.raises(InputError, match="Cannot read the certificates"):
        MqttOptions("mqtts://a", ca=tmp_path / "none").tls_context()


NAMES = st.text(st.characters(codec="utf-8"), max_size=40)


@given(NAMES)
@settings(max_examples=40)
def test_a_topic_leads_back_to_its_stream_unless_a_character_had_to_be_written_otherwise(stream):
    template = TopicTemplate("a/{stream}/b", "--mqtt-in", wildcards=True)
    topic = template.topic(stream)
    assert template.matches(topic)
    assert topic.count("/") == 2
    assert not set(topic) & set("+#\0")
    assert template.stream(topic) == encode_name(stream)


@given(NAMES, NAMES)
def test_two_streams_have_two_topics(one, other):
    assert (encode_name(one) == encode_name(other)) == (one == other)


@settings(max_examples=20)
@given(st.text(min_size=400, max_size=6_000))
def test_long_names_become_short_enough_and_stay_apart(stream):
    name = encode_name(stream)
    assert len(name.encode()) <= 1_000
    assert encode_name(stream + "x") != name


def test_a_template_matches_what_the_broker_sends_for_its_subscription():
    template = TopicTemplate("plant/+/{stream}/#", "--mqtt-in", wildcards=True)
    assert template.subscription == "plant/+/+/#"
    for topic, stream in (("plant/a/press", "press"), ("plant/a/press/x/y", "press"), ("plant//press/", "press")):
        assert template.stream(topic) == stream
    assert not template.matches("plant/a")
    assert TopicTemplate("{stream}/a", "--mqtt-in", wildcards=True).stream("$SYS/a") is None
    assert TopicTemplate("all", "--mqtt-in", wildcards=True).stream("all") is None
