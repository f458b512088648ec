"""Files made by other means: with a manifest every command works on them, and what does not fit is refused."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper
from support import foreign
from support.manifests import schema_errors
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import check
from stepcell.export.adopt import Adopted, adopt
from stepcell.runtime import (
    DamagedFileError,
    ModelFileNotFoundError,
    NewerFormatError,
    Vocabulary,
    load,
    read_model_file,
)
from stepcell.runtime.common.errors import AdoptionError
from stepcell.runtime.doctor import diagnose, find_target
from stepcell.runtime.format.manifest_reader import read_manifest
from stepcell.runtime.format.model_file import pack, unpack

LETTERS = Vocabulary(tuple("abcdef"))
IDS = [0, 3, 1, 5, 2, 4, 4, 0]
POSITIONAL = ["h0:h=Identity_1", "c0:c=Identity_2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Each kind of foreign file once."""
    folder = tmp_path_factory.mktemp("foreign")
    foreign.positional_tflite(folder / "positional.tflite")
    foreign.signed_tflite(folder / "signed.tflite", folder / "saved")
    foreign.helper_onnx(folder / "helper.onnx")
    foreign.converted_onnx(folder / "converted.onnx")
    return folder


def answers(path, backend):
    stream = load(path, backend=backend).stream()
    return np.array([stream.step(LETTERS.decode(id)).probabilities for id in IDS])


@pytest.mark.parametrize(
    ("name", "states", "backends"),
    [
        ("positional.tflite", POSITIONAL, ["litert", "tflite", "numpy"]),
        ("signed.tflite", [], ["litert", "tflite", "numpy"]),
        ("converted.onnx", [], ["onnxruntime", "numpy"]),
    ],
)
def test_an_adopted_lstm_answers_as_its_weights_say(name, states, backends, folder, tmp_path):
    adopted = adopt(folder / name, tmp_path / name, states=states, vocabulary=LETTERS)
    assert isinstance(adopted, Adopted)
    for backend in backends:
        assert np.abs(answers(tmp_path / name, backend) - foreign.expected(IDS)).max() < 1e-5
    assert adopted.manifest.io_mapping.logits == (name == "signed.tflite")
    assert any("swapped" in remark for remark in adopted.remarks) == bool(
        states
    )  # inferred pairs are shown by operators


def test_the_graph_stays_as_it_is_byte_for_byte(folder, tmp_path):
    for name, states in (("positional.tflite", POSITIONAL), ("helper.onnx", [])):
        adopt(folder / name, tmp_path / name, states=states)
        assert read_model_file(tmp_path / name).payload == (folder / name).read_bytes()


@pytest.fixture(scope="module")
def adopted_file(folder):
    adopt(folder / "positional.tflite", folder / "adopted.tflite", states=POSITIONAL, vocabulary=LETTERS)
    return folder / "adopted.tflite"


def test_an_adopted_file_can_be_checked_against_its_keras_model(adopted_file):
    results = check(adopted_file, foreign.keras_lstm(), steps=200)
    assert {each.backend for each in results} == {"litert", "tflite", "native"}
    assert max(each.error for each in results) < 1e-5


@pytest.mark.slow
def test_predict_inspect_and_doctor_work_on_an_adopted_file(adopted_file):
    run = CliRunner()
    lines = run.invoke(app, ["predict", str(adopted_file), "--json"], input="a\nd\n").stdout.splitlines()
    likely = foreign.expected([0, 3]).argmax(axis=1)
    assert [json.loads(line)["symbol"] for line in lines] == [LETTERS.decode(int(id)) for id in likely]
    assert "graph        symbol x int32 [1]" in run.invoke(app, ["inspect", str(adopted_file)]).stdout
    diagnosis = diagnose(adopted_file, find_target("this"))
    assert diagnosis.verdict == "runs here on ai-edge-litert 2.3.0 and tflite-runtime 2.14.0"
    assert diagnose(adopted_file, find_target("pi-bookworm-32")).runs


@pytest.mark.parametrize("backend", ["litert", "tflite", "numpy"])
def test_streams_of_an_adopted_file_can_be_peeked_forked_absorbed_and_set(adopted_file, backend):
    model = load(adopted_file, backend=backend)
    stream = model.stream()
    first = stream.peek("a").probabilities
    assert np.array_equal(stream.step("a").probabilities, first)
    fork = stream.fork()
    assert np.array_equal(stream.absorb("bcd").probabilities, [fork.step(s).probabilities for s in "bcd"][-1])
    assert stream.state.keys() == {"h0", "c0"}
    assert all(np.array_equal(stream.state[name], fork.state[name]) for name in stream.state)
    probabilities, state = model.step("a", model.initial_state())
    assert np.array_equal(probabilities, first)
    assert not np.array_equal(state["h0"], model.initial_state()["h0"])


def test_an_older_stepcell_says_that_it_must_be_upgraded(adopted_file, monkeypatch):
    manifest = read_model_file(adopted_file).manifest
    assert manifest.to_json()["format"] == 2
    monkeypatch.setattr("stepcell.runtime.format.manifest_reader.NEWEST_FORMAT", 1)
    with pytest.raises(NewerFormatError, match="has format 2; this stepcell reads format 1"):
        read_manifest(manifest.to_bytes(), "adopted.tflite")


def test_the_mapping_comes_back_from_the_manifest(adopted_file):
    manifest = read_model_file(adopted_file).manifest
    assert read_manifest(manifest.to_bytes(), "adopted.tflite").io_mapping == manifest.io_mapping is not None
    assert schema_errors(manifest.to_json()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"graph": {}}, "graph.signature is missing; graph.output is missing"),
        ({"graph": 3}, "graph is 3, not an object"),
        ({"format": 1}, "graph belongs into manifests of format 2, and may"),
        ({"state": [{"name": "h9", "next": "next_h9", "dtype": "float32", "shape": [5], "initial": 0}]}, "graph.state"),
        ({"vocabulary": {"symbols": ["a", "b"]}}, "graph.output does not fit"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(change, problem, adopted_file):
    content = read_model_file(adopted_file).manifest.to_json() | {"golden": None} | change
    with pytest.raises(DamagedFileError, match=problem):
        read_manifest(json.dumps(content).encode(), "adopted.tflite")


@pytest.mark.parametrize("name", ["adopted.tflite", "adopted.onnx"])
def test_a_graph_without_the_promised_ports_is_noticed_before_a_step(name, folder, adopted_file, tmp_path):
    if name == "adopted.onnx":
        adopt(folder / "helper.onnx", folder / name)
    file = read_model_file(folder / name)
    text = file.manifest.to_bytes().decode()
    symbol = file.manifest.io_mapping.symbol
    old = json.dumps({"dtype": symbol.dtype, "name": symbol.name}, separators=(",", ":"))[:-1]
    manifest = read_manifest(text.replace(old, old.replace(symbol.name, "other")).encode(), name)
    path = tmp_path / name
    path.write_bytes(pack(file.payload, manifest, file.format))
    with pytest.raises(DamagedFileError, match="the manifest promises other"):
        load(path)


# What is inferred, and what is not.


def test_inferred_pairs_are_shown_with_the_reason(folder, tmp_path):
    out = tmp_path / "model.onnx"
    result = CliRunner().invoke(app, ["adopt", str(folder / "converted.onnx"), "--out", str(out), "--json"])
    assert result.exit_code == 0
    for name in ("h", "c"):
        assert f"inferred: --state state_{name}=new_state_{name} (the arithmetic of a cell takes" in result.stderr
    assert "inferred: --symbol x (it is the only input of integers that is left)" in result.stderr
    assert json.loads(result.stdout)["graph"]["output"]["name"] == "probs"
    assert load(out).vocabulary.symbols == ("0", "1", "2", "3", "4", "5")


def test_the_arithmetic_of_a_cell_pairs_states_without_names(folder, tmp_path):
    adopted = adopt(folder / "positional.tflite", tmp_path / "out.tflite", vocabulary=LETTERS)
    assert [str(pair) for pair in adopted.mapping.pairs] == ["h=Identity_1", "c=Identity_2"]
    assert np.abs(answers(tmp_path / "out.tflite", "litert") - foreign.expected(IDS)).max() < 1e-5


def test_everything_wrong_with_what_was_given_is_named_at_once(folder, tmp_path):
    with pytest.raises(AdoptionError) as caught:
        adopt(folder / "positional.tflite", tmp_path / "x", states=["q=Identity_1", "h=z", "h"], symbol="s", output="o")
    for part in ("no input 'q'", "no output 'z'", "'h' is not IN=OUT", "no input 's'", "no output 'o'"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("states", "options", "problem"),
    [
        (["h=Identity", "c=Identity_2"], {}, r"the state h -> Identity cannot be one: h float32 \[1, 5\] goes in"),
        (["h=Identity_1", "c=Identity_1"], {}, "two states have the output 'Identity_1'"),
        (["h=Identity_1", "h=Identity_2"], {}, "two states have the input 'h'"),
        (POSITIONAL, {"vocabulary": Vocabulary(("a", "b"))}, "answers with 6 numbers and the vocabulary has 2 symbols"),
        (POSITIONAL, {"labels": Vocabulary(("a", "b"))}, "answers with 6 numbers, there are 2 labels"),
        (POSITIONAL, {"signature": "step"}, "it has no signature 'step', but none at all"),
    ],
)
def test_pairs_and_sizes_that_do_not_agree_are_refused(states, options, problem, folder, tmp_path):
    with pytest.raises(AdoptionError, match=problem):
        adopt(folder / "positional.tflite", tmp_path / "out.tflite", states=states, **options)
    assert list(tmp_path.iterdir()) == []


def test_an_input_that_is_neither_symbol_nor_state_is_refused(tmp_path):
    more = helper.make_tensor_value_info("rate", TensorProto.FLOAT, [1])
    path = foreign.helper_onnx(tmp_path / "m.onnx", inputs=[more])
    with pytest.raises(AdoptionError, match="the inputs rate are neither symbol nor state"):
        adopt(path, tmp_path / "out.onnx")


# What only stepping shows.


def test_a_state_that_does_not_move_is_refused(tmp_path):
    still = helper.make_node("Identity", ["other_in"], ["other_out"])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("other_in", "other_out")]
    path = foreign.helper_onnx(tmp_path / "m.onnx", more=[still], inputs=value[:1], outputs=value[1:])
    with pytest.raises(AdoptionError, match="no symbol moves the state other_in"):
        adopt(path, tmp_path / "out.onnx")


def test_a_step_that_draws_random_numbers_is_refused(tmp_path):
    noise = [
        helper.make_node("RandomNormalLike", ["sum"], ["noise"]),
        helper.make_node("Add", ["sum", "noise"], ["noisy_out"]),
        helper.make_node("Mul", ["noisy_in", "noisy_in"], ["unused"]),
    ]
    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, foreign.UNITS]) for name in ("noisy_in", "noisy_out")
    ]
    path = foreign.helper_onnx(tmp_path / "m.onnx", more=noise, inputs=value[:1], outputs=value[1:])
    with pytest.raises(AdoptionError) as caught:
        adopt(path, tmp_path / "out.onnx")
    assert "give other answers the second time" in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_vocabulary_larger_than_the_table_is_noticed(tmp_path):
    path = foreign.helper_onnx(tmp_path / "m.onnx", symbols=4)
    with pytest.raises(AdoptionError, match="is the vocabulary larger than the model's"):
        adopt(path, tmp_path / "out.onnx", vocabulary=LETTERS)
    adopted = adopt(path, tmp_path / "out.onnx", vocabulary=Vocabulary(tuple("abcd")), labels=LETTERS)
    assert load(adopted.path).stream().step("d").symbol in LETTERS


@pytest.mark.slow
def test_logits_and_sigmoids_are_recognised_and_can_be_named(tmp_path):
    sigmoid = foreign.helper_onnx(tmp_path / "m.onnx", more=[helper.make_node("Sigmoid", ["logits"], ["p"])],
                                  outputs=[helper.make_tensor_value_info("p", TensorProto.FLOAT, [1, 6])])  # fmt: skip
    manifest = adopt(sigmoid, tmp_path / "a.onnx", output="p").manifest
    assert (manifest.output, manifest.io_mapping.logits) == ("sigmoid", False)
    manifest = adopt(sigmoid, tmp_path / "b.onnx", output="logits").manifest
    assert (manifest.output, manifest.io_mapping.logits) == ("softmax", True)
    manifest = adopt(sigmoid, tmp_path / "c.onnx", output="p", activation="logits").manifest
    assert manifest.io_mapping.logits
    assert load(tmp_path / "c.onnx").stream().step("0").probabilities.sum() == pytest.approx(1)
    with pytest.raises(AdoptionError, match="its answers cannot be a softmax: its numbers lie between 0 and 1"):
        adopt(sigmoid, tmp_path / "d.onnx", output="p", activation="softmax")


def test_a_graph_that_reads_one_hot_vectors_is_stepped_by_symbol(tmp_path):
    weights = foreign.lstm_weights()

    @tf.function(
        input_signature=[
            tf.TensorSpec([1, 1, foreign.SYMBOLS], name="x"),
            *(tf.TensorSpec([1, foreign.UNITS], name=name) for name in ("h", "c")),
        ]
    )
    def step(x, h, c):
        answer, h, c = foreign.lstm_step(tf.argmax(x[:, 0], axis=1), h, c, weights, logits=False)
        return {"y": answer, "next_h": h, "next_c": c}

    module = tf.Module()
    module.step = step
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"step": step})
    path = tmp_path / "m.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert())
    adopt(path, tmp_path / "out.tflite", symbol="x", vocabulary=LETTERS)
    assert np.abs(answers(tmp_path / "out.tflite", "litert") - foreign.expected(IDS)).max() < 1e-5


# Files.


def test_a_file_is_replaced_only_where_out_names_it(folder, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes((folder / "helper.onnx").read_bytes())
    adopt(path, path)
    assert load(path).stream().step("0").symbol in "012345"
    adopt(path, path, vocabulary=LETTERS)  # an adopted file can be adopted again, otherwise
    assert load(path).vocabulary == LETTERS
    assert [each.name for each in tmp_path.iterdir()] == ["m.onnx"]


def test_what_export_has_made_needs_no_adoption(tmp_path):
    from support.models import DATA

    with pytest.raises(AdoptionError, match="was made by 'stepcell export'"):
        adopt(DATA / "memory.tflite", tmp_path / "out.tflite")


def test_files_behind_the_graph_are_left_out_and_named(folder, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes((folder / "positional.tflite").read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "a\nb\n")
    adopted = adopt(path, tmp_path / "out.tflite", states=POSITIONAL)
    assert "left out, behind the graph: labels.txt" in adopted.remarks
    assert read_model_file(adopted.path).payload == (folder / "positional.tflite").read_bytes()


def test_damaged_missing_and_hidden_state_files_are_refused(folder, tmp_path):
    with pytest.raises(ModelFileNotFoundError):
        adopt(tmp_path / "nothing.tflite", tmp_path / "out.tflite")
    cut = tmp_path / "cut.tflite"
    cut.write_bytes((folder / "positional.tflite").read_bytes()[:1500])
    with pytest.raises(AdoptionError, match="cut.tflite is damaged"):
        adopt(cut, tmp_path / "out.tflite")
    model = onnx.load(folder / "helper.onnx")
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    external = tmp_path / "external.onnx"
    external.write_bytes(model.SerializeToString())
    with pytest.raises(AdoptionError, match="are in another file"):
        adopt(external, tmp_path / "out.onnx")


def test_an_interpreter_that_does_not_take_the_file_is_left_out_and_named(folder, tmp_path):
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs((folder / "positional.tflite").read_bytes(), 0))
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED:
            code.version = 12
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "new.tflite"
    path.write_bytes(bytes(builder.Output()))
    adopted = adopt(path, tmp_path / "out.tflite", states=POSITIONAL, vocabulary=LETTERS)
    assert adopted.runtimes == ("ai-edge-litert 2.3.0",)
    assert any("tflite-runtime 2.14.0 does not take it: FULLY_CONNECTED version 12" in r for r in adopted.remarks)


def test_a_packed_mapping_comes_back(adopted_file):
    file = read_model_file(adopted_file)
    assert unpack(pack(file.payload, file.manifest, "tflite"), "x.tflite").manifest == file.manifest
