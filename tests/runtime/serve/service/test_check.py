"""stepcell serve --check: what is right, what is wrong, and nothing changed."""

from __future__ import annotations

import json
import os
import shutil
import socket

import pytest
from support.command_line import stepcell
from support.models import DATA
from support.mosquitto import Broker, free_port
from support.serving import serve_records

from stepcell.runtime import calibrate, load
from stepcell.runtime.serve.service import check as module
from stepcell.runtime.serve.service.check import check_service
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.store import ServiceStore

MODEL = load(DATA / "memory.tflite", backend="numpy")


@pytest.fixture
def folder(tmp_path):
    """What a service has: a model, a store of one stream, a file of records."""
    shutil.copy(DATA / "memory.tflite", tmp_path / "m.tflite")
    serve_records(tmp_path / "state.db", ["3"], MODEL)
    (tmp_path / "in.jsonl").write_text("3\n")
    return tmp_path


def findings(folder, **options):
    chosen = {"model": folder / "m.tflite", "store": folder / "state.db", "backend": "numpy", **options}
    return {one.what: (one.is_right, one.text) for one in check_service(ServeOptions(**chosen))}


def content_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_service_that_would_start_is_right_and_nothing_is_changed(folder):
    before = content_of(folder)
    found = findings(
        folder, file=(folder / "in.jsonl",), out=folder / "out.jsonl", http=f"127.0.0.1:{free_port()}",
    )  # fmt: skip
    assert {what for what, (is_right, _) in found.items() if not is_right} == set()
    assert list(found) == ["packages", "model", "options", "store", "input", "output", "address"]
    assert found["model"][1].startswith(f"m.tflite, {MODEL.manifest.fingerprint[:12]}..., repeats its golden sequence")
    assert found["store"][1].endswith("schema 3, 1 stream")
    assert content_of(folder) == before


def test_the_command_prints_what_is_right_and_ends_with_1_if_something_is_wrong(folder):
    arguments = ("serve", "--check", folder / "m.tflite", "--backend", "numpy", "--store", folder / "state.db")
    result = stepcell(*arguments, "--file", folder / "in.jsonl")
    assert result.exit_code == 0, result.stdout
    assert result.stdout.splitlines()[0].split() == ["checked", "found"]
    assert " wrong " not in result.stdout
    result = stepcell(*arguments, "--file", folder / "none.jsonl", "--http", "127.0.0.1:0")
    assert result.exit_code == 1
    (wrong,) = [line for line in result.stdout.splitlines() if " wrong " in line]
    assert "There is no file" in wrong


def test_a_configuration_that_is_wrong_is_said_as_such(folder):
    (folder / "serve.toml").write_text("topp = 1")
    result = stepcell("serve", "--check", "--config", folder / "serve.toml")
    assert result.exit_code == 1
    assert "configuration  wrong" in result.stdout
    assert "did you mean 'top'?" in result.stdout


def test_a_model_that_does_not_verify_is_wrong(folder):
    content = bytearray((folder / "m.tflite").read_bytes())
    content[9000] ^= 1
    (folder / "m.tflite").write_bytes(content)
    found = findings(folder, http="127.0.0.1:0")
    assert not found["model"][0]
    assert "damaged" in found["model"][1]
    assert found["store"][0]
    assert "options" not in found


def test_options_that_do_not_fit_the_model_are_wrong(folder):
    assert "trained on a table" in findings(folder, format="csv", http="127.0.0.1:0")["options"][1]
    assert "no unknown symbol" in findings(folder, unknown="use", http="127.0.0.1:0")["options"][1]
    assert "reached from other machines" in findings(folder, http="0.0.0.0:0")["options"][1]


def test_a_threshold_belongs_to_its_model(folder):
    threshold = calibrate(MODEL, ["30123", "40124"] * 60)
    threshold.save(folder / "right.json")
    path = folder / "wrong.json"
    path.write_text(json.dumps({**threshold.to_json(), "fingerprint": "00" * 32}))
    assert findings(folder, threshold=folder / "right.json", http="127.0.0.1:0")["threshold"][0]
    is_right, text = findings(folder, threshold=path, http="127.0.0.1:0")["threshold"]
    assert not is_right
    assert "was calibrated with a model of fingerprint 000000000000" in text


def test_a_store_that_is_not_there_is_made_and_its_folder_is_not(folder):
    assert findings(folder, store=folder / "new.db")["store"] == (True, f"{folder / 'new.db'} is made at the start")
    is_right, text = findings(folder, store=folder / "none/new.db")["store"]
    assert not is_right
    assert f"Make it: mkdir -p {folder / 'none'}" in text
    assert not (folder / "new.db").exists()


def test_a_store_in_use_is_said_and_no_error(folder):
    with ServiceStore(folder / "state.db", MODEL.file), socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        found = findings(folder, http=f"127.0.0.1:{listener.getsockname()[1]}")
    assert found["store"][0]
    assert found["store"][1].endswith("in use by a running service")
    assert found["address"][0]
    assert "is taken, as the store is, by a running service" in found["address"][1]


def test_a_port_that_is_taken_is_wrong(folder):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        is_right, text = findings(folder, http=f"127.0.0.1:{listener.getsockname()[1]}")["address"]
    assert not is_right
    assert "Stop what listens there, or give another port" in text


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"a letter" * 100), "is no store of streams"),
        (lambda path: path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 30_000), "is damaged"),
    ],
)
def test_a_store_that_cannot_be_used_is_wrong(folder, damage, said):
    damage(folder / "state.db")
    is_right, text = findings(folder)["store"]
    assert not is_right
    assert said in text


def test_secrets_are_for_one_user(folder):
    token = folder / "token"
    token.write_text("a-token-of-enough-characters\n")
    token.chmod(0o644)
    is_right, text = findings(folder, http="127.0.0.1:0", http_token_file=token)["secret"]
    assert not is_right
    assert f"others have rights to it (mode 644): chmod 600 {token}" in text
    token.chmod(0o600)
    assert findings(folder, http="127.0.0.1:0", http_token_file=token)["secret"][0]
    token.chmod(0o640)
    assert "by its group" in findings(folder, http="127.0.0.1:0", http_token_file=token)["secret"][1]


def test_what_this_user_may_not_touch_is_wrong(folder, monkeypatch):
    (folder / "out.jsonl").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = findings(folder, file=(folder / "in.jsonl",), out=folder / "out.jsonl")
    assert {what: found[what][0] for what in ("store", "input", "output")} == dict.fromkeys(
        ("store", "input", "output"), False
    )
    assert found["output"][1].endswith("out.jsonl cannot be written by this user.")


def test_packages_that_are_missing_are_named_with_the_extra(folder, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "uvicorn" else name)
    found = findings(folder, http="127.0.0.1:0")
    assert found["packages"] == (False, "uvicorn: install them with pip install 'stepcell[serve]'.")


def test_a_broker_is_tried(folder):
    topics = {"mqtt_in": "machines/{stream}/events"}
    with Broker(folder) as broker:
        assert findings(folder, mqtt=broker.url, **topics)["broker"] == (True, f"{broker.url} takes a connection")
        broker.stop()
        is_right, text = findings(folder, mqtt=broker.url, **topics)["broker"]
        assert (is_right, text) == (False, f"{broker.url} cannot be reached: Connection refused.")


def test_a_broker_that_wants_a_password_says_so(folder):
    with Broker(folder, "allow_anonymous false") as broker:
        is_right, text = findings(folder, mqtt=broker.url, mqtt_in="a/{stream}")["broker"]
    assert not is_right
    assert text == f"{broker.url} refuses the connection: Not authorized."


def test_a_store_of_another_model_is_right_if_its_streams_can_be_caught_up(folder):
    is_right, text = findings(folder, model=DATA / "memory.onnx")["store"]
    assert is_right, text
    assert text.endswith(
        f"of the model {MODEL.manifest.fingerprint[:12]}..., which are caught up with this one at the start"
    )
    is_right, text = findings(folder, model=DATA / "gru.tflite")["store"]
    assert not is_right
    assert "gru.tflite cannot take over: it has another " in text
