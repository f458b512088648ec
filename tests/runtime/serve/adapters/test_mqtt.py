"""Records and answers by a real broker, which is restarted, killed, frozen and forgetful."""

from __future__ import annotations

import json
import subprocess
from threading import Event

import pytest
from support.models import DATA
from support.mosquitto import Broker, wait_for
from support.served import Served

from stepcell.runtime import load
from stepcell.runtime.common.errors import InputError
from stepcell.runtime.serve.adapters import mqtt
from stepcell.runtime.serve.adapters.mqtt_connection import MqttConnection
from stepcell.runtime.serve.adapters.mqtt_options import MqttOptions

MODEL = load(DATA / "memory.tflite", backend="numpy")
IN, OUT = "machines/{stream}/events", "machines/{stream}/predictions"
PRESS, ANSWERS = "machines/press/events", "machines/press/predictions"
STATUS = "plant/stepcell"


def serving(tmp_path, broker, **options):
    options = {"mqtt_in": IN, "mqtt_out": OUT, "mqtt_status": STATUS, **options}
    return Served(tmp_path / "state.db", MODEL, mqtt=broker.url, **options)


def record(seq, symbol, **more):
    return json.dumps({"seq": seq, "symbol": symbol, **more})


def records(symbols, first=1):
    return [(PRESS, record(seq, symbol)) for seq, symbol in enumerate(symbols, first)]


def predicted(symbols):
    stream = MODEL.stream()
    return [stream.step(symbol).symbol for symbol in symbols]


def answers_of(payloads):
    """Answers by number, each of which may have come several times, but always the same."""
    found = {}
    for payload in payloads:
        answer = json.loads(payload)
        assert found.setdefault(answer["seq"], payload) == payload
    return {seq: json.loads(payload)["symbol"] for seq, payload in found.items()}


def numbered(symbols):
    return dict(enumerate(predicted(symbols), 1))


def wait_for_answers(peer, symbols):
    wait_for(lambda: len(answers_of(peer.payloads(ANSWERS))) >= len(symbols), f"answers: {peer.messages[-3:]}")
    assert answers_of(peer.payloads(ANSWERS)) == numbered(symbols)


def is_connected(peer):
    return wait_for(lambda: peer.payloads(f"{STATUS}/status")[-1:] == [b"online"], "the service is online")


def test_a_record_is_answered_on_the_topic_of_its_stream(tmp_path, broker):
    with broker.client(f"{STATUS}/status", "machines/+/predictions") as peer, serving(tmp_path, broker):
        is_connected(peer)
        peer.publish(PRESS, record(7, "0"))
        peer.publish("machines/saw/events", "1")
        (answer,) = map(json.loads, peer.wait(ANSWERS))
        assert list(answer) == ["stream", "seq", "input", "symbol", "probability", "model"]
        assert (answer["stream"], answer["seq"], answer["symbol"]) == ("press", 7, *predicted("0"))
        (answer,) = map(json.loads, peer.wait("machines/saw/predictions"))
        assert (answer["stream"], answer["symbol"]) == ("saw", *predicted("1"))


def test_an_event_of_the_service_has_a_topic_of_its_own(tmp_path, broker):
    with broker.client(f"{STATUS}/#", "machines/#") as peer, serving(tmp_path, broker) as served:
        is_connected(peer)
        served.service.inbox.call(lambda service: service.events.append('{"event": "model"}'))
        peer.publish(PRESS, record(7, "0"))
        assert peer.wait(f"{STATUS}/events") == [b'{"event": "model"}']
        assert len(peer.wait(ANSWERS)) == 1
        assert peer.payloads("machines//predictions") == []


def test_a_stream_of_several_levels_is_read_where_the_template_says_so(tmp_path, broker):
    options = {"mqtt_in": "hall/events/{stream:path}", "mqtt_out": "hall/answers/{stream:path}"}
    with broker.client(f"{STATUS}/status", "hall/answers/#") as peer, serving(tmp_path, broker, **options):
        is_connected(peer)
        peer.publish("hall/events/line 2/press", "0")
        assert json.loads(peer.wait("hall/answers/line 2/press")[0])["stream"] == "line 2/press"


def test_a_topic_without_a_stream_leaves_it_to_the_record(tmp_path, broker):
    with (
        broker.client(f"{STATUS}/status", "answers/#") as peer,
        serving(tmp_path, broker, mqtt_in="events", mqtt_out="answers/{stream}"),
    ):
        is_connected(peer)
        peer.publish("events", json.dumps({"stream": "a/b+c#", "symbol": "0"}))
        assert json.loads(peer.wait("answers/a%2Fb%2Bc%23")[0])["stream"] == "a/b+c#"


def test_the_watermark_is_retained_and_is_the_last_number_that_was_kept(tmp_path, broker):
    with broker.client(f"{STATUS}/#", ANSWERS) as peer, serving(tmp_path, broker):
        is_connected(peer)
        peer.publish_all(records("01234"))
        wait_for(lambda: peer.payloads(f"{STATUS}/watermarks/press")[-1:] == [b'{"stream": "press", "seq": 5}'])
        assert len(peer.payloads(ANSWERS)) == 5
    with broker.client(f"{STATUS}/#") as later:
        assert later.wait(f"{STATUS}/watermarks/press") == [b'{"stream": "press", "seq": 5}']
        assert later.messages[0].retain


def test_the_status_is_online_while_the_service_is_and_offline_when_it_ends(tmp_path, broker):
    with broker.client(f"{STATUS}/status") as peer:
        with serving(tmp_path, broker):
            is_connected(peer)
        assert peer.wait(f"{STATUS}/status", 2) == [b"online", b"offline"]
    with broker.client(f"{STATUS}/status") as later:
        assert later.wait(f"{STATUS}/status") == [b"offline"]


def test_records_that_come_while_the_service_is_away_are_answered_when_it_is_back(tmp_path, broker):
    with broker.client(f"{STATUS}/status", ANSWERS) as peer:
        with serving(tmp_path, broker):
            is_connected(peer)
            peer.publish_all(records("012"))
            peer.wait(ANSWERS, 3)
        peer.publish_all(records("34012", 4))
        with serving(tmp_path, broker):
            wait_for_answers(peer, "01234012")


def test_repeated_records_are_acknowledged_and_not_stepped_again(tmp_path, broker):
    with broker.client(f"{STATUS}/status", ANSWERS) as peer, serving(tmp_path, broker):
        is_connected(peer)
        peer.publish_all([*records("012"), *records("012"), *records("34", 4)])
        wait_for_answers(peer, "01234")
        assert len(peer.payloads(ANSWERS)) == 5


def test_a_record_behind_a_gap_is_said_once_and_answered_when_the_gap_is_filled(tmp_path, broker):
    with broker.client(f"{STATUS}/#", ANSWERS) as peer, serving(tmp_path, broker):
        is_connected(peer)
        peer.publish_all([*records("01"), *records("3401", 4)])
        (error,) = map(json.loads, peer.wait(f"{STATUS}/errors"))
        assert (error["stream"], error["code"], error["seq"], error["expected"]) == ("press", "gap", 4, 3)
        assert not error["dropped"]
        peer.publish_all(records("2", 3))
        wait_for_answers(peer, "0123401")
        assert len(peer.payloads(f"{STATUS}/errors")) == 1


def test_a_record_behind_a_gap_survives_a_restart_of_the_service(tmp_path, broker):
    with broker.client(f"{STATUS}/#", ANSWERS) as peer:
        with serving(tmp_path, broker):
            is_connected(peer)
            peer.publish_all([*records("01"), *records("34", 4)])
            peer.wait(f"{STATUS}/errors")
        with serving(tmp_path, broker):
            peer.wait(f"{STATUS}/errors", 2)
            peer.publish_all(records("2", 3))
            wait_for_answers(peer, "01234")


@pytest.mark.slow
def test_records_behind_a_gap_do_not_shut_out_the_one_that_is_missing(tmp_path):
    symbols = "01234" * 300
    folder = tmp_path / "broker"
    folder.mkdir()
    with (
        Broker(folder, "max_queued_messages 10000") as broker,
        broker.client(f"{STATUS}/#", ANSWERS) as peer,
        serving(tmp_path, broker),
    ):
        is_connected(peer)
        peer.publish_all(records(symbols[1:2], 2))  # the first record of a stream sets the number
        peer.publish_all(records(symbols[3:], 4))
        wait_for(lambda: any(json.loads(each)["dropped"] for each in peer.payloads(f"{STATUS}/errors")), "dropped")
        peer.publish_all(records(symbols[2:], 3))  # as the watermark says: all behind 2
        wait_for(lambda: peer.payloads(f"{STATUS}/watermarks/press")[-1:] == [b'{"stream": "press", "seq": 1500}'])
        assert answers_of(peer.payloads(ANSWERS)) == dict(enumerate(predicted(symbols[1:]), 2))


def test_a_broker_that_is_restarted_loses_nothing(tmp_path, broker):
    with serving(tmp_path, broker):
        for part in range(2):
            with broker.client(f"{STATUS}/status", ANSWERS) as peer:
                is_connected(peer)
                peer.publish_all(records("01234", 1 + 5 * part))
                peer.wait(ANSWERS, 5)
            broker.stop()
            broker.start()
        with broker.client(f"{STATUS}/status", f"{STATUS}/watermarks/press") as peer:
            is_connected(peer)
            assert json.loads(peer.wait(f"{STATUS}/watermarks/press")[0])["seq"] == 10


def test_a_broker_that_forgets_everything_gets_subscription_and_watermark_again(tmp_path, broker):
    with serving(tmp_path, broker) as served:
        with broker.client(f"{STATUS}/status", ANSWERS) as peer:
            is_connected(peer)
            peer.publish_all(records("012"))
            wait_for_answers(peer, "012")
        broker.kill()
        wait_for(lambda: any("no connection" in each for each in served.told), "the loss is said")
        broker.start()
        with broker.client(f"{STATUS}/#", ANSWERS) as peer:
            is_connected(peer)
            assert json.loads(peer.wait(f"{STATUS}/watermarks/press")[0])["seq"] == 3
            peer.publish_all(records("34", 4))
            assert answers_of(peer.wait(ANSWERS, 2)) == {seq: numbered("01234")[seq] for seq in (4, 5)}


def test_a_broker_that_forgot_everything_while_the_service_was_away_gets_the_watermarks(tmp_path, broker):
    with broker.client(f"{STATUS}/status", ANSWERS) as peer, serving(tmp_path, broker):
        is_connected(peer)
        peer.publish_all(records("012"))
        wait_for_answers(peer, "012")
    broker.kill()
    broker.start()
    with broker.client(f"{STATUS}/#", ANSWERS) as peer, serving(tmp_path, broker):
        assert json.loads(peer.wait(f"{STATUS}/watermarks/press")[0])["seq"] == 3


def test_a_message_that_comes_again_before_it_was_acknowledged_is_stepped_once(tmp_path, broker):
    """Without numbers: the broker's own mark tells that it is the same message."""
    with serving(tmp_path, broker) as served:
        with broker.client(f"{STATUS}/status", ANSWERS) as peer:
            is_connected(peer)
            go_on = Event()
            served.service.inbox.call(lambda service: go_on.wait(20))
            peer.publish_all([(PRESS, symbol) for symbol in "01234"])
            wait_for(lambda: served.service.inbox.waiting == 5, "the records have come")
        broker.stop()
        broker.start()
        with broker.client(f"{STATUS}/status", ANSWERS) as peer:
            is_connected(peer)
            peer.publish(PRESS, "0")
            go_on.set()
            wait_for(lambda: len(peer.payloads(ANSWERS)) >= 6)
            assert [json.loads(each)["symbol"] for each in peer.payloads(ANSWERS)] == predicted("012340")


def test_a_network_that_is_gone_for_a_while_loses_nothing(tmp_path, broker):
    with serving(tmp_path, broker), broker.client(f"{STATUS}/status", ANSWERS) as peer:
        is_connected(peer)
        peer.publish_all(records("01"))
        wait_for_answers(peer, "01")
        broker.freeze()
        for topic, payload in records("234", 3):
            peer.send(topic, payload)
        broker.thaw()
        wait_for_answers(peer, "01234")


def test_answers_wait_for_a_broker_that_is_away(tmp_path, broker):
    events = tmp_path / "events.jsonl"
    events.write_text("".join(record(seq, symbol, stream="press") + "\n" for seq, symbol in enumerate("01234", 1)))
    with broker.client(ANSWERS, client_id="reader") as peer:  # the broker keeps answers for it
        broker.stop()
        with serving(tmp_path, broker, mqtt_in=None, file=(events,), follow=True) as served:
            wait_for(lambda: served.service.status.groups, "a group")
            broker.start()
            wait_for_answers(peer, "01234")


def test_while_too_many_answers_wait_for_a_broker_no_more_records_are_taken(tmp_path, broker, monkeypatch):
    monkeypatch.setattr(mqtt, "MOST_WAITING", 3)
    symbols, events = "01234" * 4, tmp_path / "events.jsonl"
    events.write_text("".join(record(seq, symbol, stream="press") + "\n" for seq, symbol in enumerate(symbols, 1)))
    options = {"mqtt_in": None, "file": (events,), "follow": True, "commit_records": 2}
    with broker.client(ANSWERS, client_id="reader") as peer:
        broker.stop()
        with serving(tmp_path, broker, **options) as served:
            wait_for(lambda: any("3 answers wait for mqtt://" in each for each in served.told), "it is said")
            assert not served.service.status.ready
            broker.start()
            wait_for_answers(peer, symbols)


@pytest.mark.slow  # it waits for the broker when it ends
def test_answers_that_a_broker_did_not_take_are_sent_by_the_next_service(tmp_path, broker):
    events = tmp_path / "events.jsonl"
    events.write_text("".join(record(seq, symbol, stream="press") + "\n" for seq, symbol in enumerate("01234", 1)))
    broker.stop()
    with serving(tmp_path, broker, mqtt_in=None, file=(events,)) as served:
        served.join()
    broker.start()
    with broker.client(ANSWERS) as peer, serving(tmp_path, broker, mqtt_in=None, file=(events,), follow=True):
        wait_for_answers(peer, "01234")


def test_a_user_and_a_password_are_read_from_the_environment_or_a_file(tmp_path, monkeypatch):
    folder = tmp_path / "broker"
    folder.mkdir()
    passwords = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "pi", "secret ü"], check=True)
    with Broker(folder, "allow_anonymous false", f"password_file {passwords}") as broker:
        with serving(tmp_path, broker) as served:
            served.join()
            assert "refuses the client" in str(served.error)
            assert isinstance(served.error, InputError)
            served.error = None
        monkeypatch.setenv("STEPCELL_MQTT_USER", "pi")
        monkeypatch.setenv("STEPCELL_MQTT_PASSWORD", "secret ü")
        with serving(tmp_path, broker), broker.client(f"{STATUS}/status", user="pi", password="secret ü") as peer:
            is_connected(peer)
        monkeypatch.setenv("STEPCELL_MQTT_PASSWORD", "another")
        (tmp_path / "password").write_text("secret ü\n")
        with (
            serving(tmp_path, broker, mqtt_user="pi", mqtt_password_file=tmp_path / "password"),
            broker.client(f"{STATUS}/status", user="pi", password="secret ü") as peer,
        ):
            is_connected(peer)


def test_the_certificate_of_a_broker_is_verified(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    key, certificate = folder / "key", folder / "certificate"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {certificate} -subj /CN=pi"
    command += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), check=True, capture_output=True)
    with Broker(folder, f"certfile {certificate}", f"keyfile {key}") as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        options = {"mqtt": url, "mqtt_in": IN, "mqtt_status": STATUS}
        with Served(tmp_path / "state.db", MODEL, **options) as served:
            wait_for(lambda: any("certificate" in each for each in served.told), "it is refused")
        with Served(tmp_path / "state.db", MODEL, **options, mqtt_ca=certificate) as served:
            wait_for(lambda: any(f"connected to {url}" in each for each in served.told), "a connection")


def test_an_unreachable_broker_is_said_and_tried_again(tmp_path, broker):
    broker.stop()
    with serving(tmp_path, broker) as served:
        wait_for(lambda: any("no connection" in each and "refused" in each for each in served.told), "it is said")
        broker.start()
        wait_for(lambda: any("connected to" in each for each in served.told), "a connection")


def test_a_message_that_is_no_record_disturbs_nothing(tmp_path, broker):
    broken = [
        b"",
        b"\xff\xfe\x00",
        b'{"seq": "7", "symbol": "0"}',
        b'{"symbol"',
        b"x" * (2**20 + 1),
        b'{"stream": "saw"}',
    ]
    with broker.client(f"{STATUS}/status", ANSWERS) as peer, serving(tmp_path, broker):
        is_connected(peer)
        for payload in broken:
            peer.publish(PRESS, payload)
        peer.publish_all(records("01234"))
        wait_for(lambda: len(peer.payloads(ANSWERS)) >= 10)
        answers = [json.loads(each) for each in peer.payloads(ANSWERS)]
        errors = [each["code"] for each in answers if "error" in each]
        assert errors == ["bad-record", "bad-record", "bad-record", "too-long", "bad-record"]
        assert [each["symbol"] for each in answers if "symbol" in each] == predicted("01234")


def test_the_session_of_a_store_has_one_name_for_ever(tmp_path, broker):
    names = []
    for _ in range(2):
        with serving(tmp_path, broker) as served:
            wait_for(lambda told=served.told: any("connected" in each for each in told))
            names += [each.split(" as ")[1].split(";")[0] for each in served.told if "connected" in each]
    assert names[0] == names[1]
    assert names[0].startswith("stepcell-")


def test_a_message_of_another_connection_is_never_acknowledged(broker):
    """Its number may be that of another message here."""
    connection, found = MqttConnection(MqttOptions(broker.url, "in", status=STATUS), "pi", print), []
    connection.open()
    wait_for(lambda: connection.is_connected)
    for client in (object(), None):
        connection.post(lambda client=client: found.append(connection.acknowledge(client, 1)))
    wait_for(lambda: len(found) == 2)
    connection.close()
    assert found == [False, False]
