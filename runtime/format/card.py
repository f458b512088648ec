"""The model card of a file: a page in Markdown, with the metadata that hubs of models read, from its manifest alone.

The metadata are those of https://huggingface.co/docs/hub/model-cards. The card says what the manifest knows and nothing
else: a file without training data has no such section.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from .card_evidence import METRICS, count_of, exactness_section, measured, problem_of, source_of, training_section
from .card_usage import usage
from .describe import describe_memory
from .manifest import LONGEST_MEMORY, Cell, Manifest
from .markdown import code, front_matter, plain, table
from .model_file import ModelFile
from .tensor_specs import EVERY_STEP
from .trained_data import TEXT
from .vocabulary import Vocabulary

WRITTEN_BY = "<!-- written by stepcell card -->"
_MOST_SYMBOLS = 30  # that are listed
_CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}


def model_card(file: ModelFile, size: int, *, license: str | None = None, picture: str | None = None) -> str:
    """Return the model card of `file`.

    Args:
        file: The file.
        size: Its size in bytes.
        license: Identifier of the license of the model, like "apache-2.0"; None: the card names none.
        picture: Address of a picture of its state, from the card; None: there is none.
    """
    manifest = file.manifest
    name = manifest.name or file.name
    parts = [
        front_matter(_metadata(file, name, license)),
        f"# {plain(name)}",
        _summary(manifest),
        _facts(file, size),
        *([f"![State over time]({picture})\n\n{_PICTURE}"] if picture else []),
        "## Inputs and outputs",
        *_inputs_and_outputs(manifest),
        *training_section(manifest),
        "## Exactness",
        *exactness_section(manifest),
        "## Use",
        *usage(file.name, manifest),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(manifest)),
        WRITTEN_BY,
    ]
    return "\n\n".join(parts) + "\n"


_PICTURE = (
    "Each row is an element of the state, each column a step; the inputs are those of the known answer in the file."
)


def _task(manifest: Manifest) -> tuple[str | None, str]:
    """Return the task by the list of the hubs, None where no entry fits, and in words."""
    data = manifest.trained_data
    if manifest.output == "linear":
        if data.targets and data.ahead:
            return "time-series-forecasting", "forecasting of values"
        return ("tabular-regression" if data.targets else None), "regression of values at each step"
    if manifest.labels is not None:
        return ("tabular-classification" if data.targets else None), "classification at each step"
    if data.kind == TEXT:
        return "text-generation", "prediction of the next symbol of a text"
    return None, "prediction of the next symbol"


def _metadata(file: ModelFile, name: str, license: str | None) -> dict[str, Any]:
    manifest = file.manifest
    pipeline, words = _task(manifest)
    kinds = sorted({cell.kind for cell in manifest.cells if cell.kind in _CELLS})
    weights = [] if manifest.quantization == "float32" else [manifest.quantization]
    metrics = list(_metrics(manifest))
    found: dict[str, Any] = {"library_name": "stepcell"}
    if license is not None:
        found["license"] = license
    if pipeline is not None:
        found["pipeline_tag"] = pipeline
    found["tags"] = ["stepcell", "recurrent-neural-network", "explicit-state", file.format, *kinds, *weights]
    if not metrics:
        return found
    found["metrics"] = list(dict.fromkeys(metric["type"] for metric in metrics))
    source = source_of(manifest)
    found["model-index"] = [
        {
            "name": name,
            "results": [
                {
                    "task": {"type": pipeline or "other", "name": words},
                    "dataset": {
                        "type": "other" if source else "synthetic",
                        "name": source or problem_of(manifest) or "sequences that stepcell made",
                    },
                    "metrics": metrics,
                }
            ],
        }
    ]
    return found


def _metrics(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Yield the measured values of the model as entries of the metadata."""
    before = "" if manifest.quantization == "float32" else " of the float32 model"
    for row, value, _ in measured(manifest):
        kind, name = METRICS[row[0]]
        yield {"type": kind, "value": value, "name": f"{name}{f' of {row[1]}' if row[1] else ''}{before}"}


def _cells(cells: Sequence[Cell]) -> str:
    return ", then ".join(f"{_CELLS.get(cell.kind) or code(cell.kind)} of {cell.units:,} units" for cell in cells)


def _summary(manifest: Manifest) -> str:
    reads = " and ".join(
        [*(["one symbol"] if len(manifest.vocabulary) else []), *(["numbers"] if manifest.features else [])]
    )
    what = (
        f"{manifest.output_size:,} value{'s' * (manifest.output_size > 1)}" if manifest.output == "linear"
        else "the probabilities of the next symbol" if manifest.labels is None
        else f"the probabilities of {len(manifest.labels):,} label{'s' * (len(manifest.labels) > 1)}"
    )  # fmt: skip
    of = f"Recurrent layers: {_cells(manifest.cells)}. " if manifest.cells else ""
    return (
        f"A recurrent model for the {_task(manifest)[1]}. At each step it reads {reads} and answers "
        f"{'with ' + what if manifest.answers == EVERY_STEP else f'{manifest.answers.describe()} with {what}'}. {of}"
        "Its state is an input and an output of the graph, so that one file steps any number of streams, and a state "
        "can be saved and restored."
    )


def _facts(file: ModelFile, size: int) -> str:
    manifest = file.manifest
    parameters = count_of(manifest.training.get("parameters"))
    state = sum(4 * prod(tensor.shape) for tensor in manifest.state)
    rows = [
        ["file", f"{code(file.name)}, {file.format}, {size:,} bytes"],
        ["fingerprint", f"`{manifest.fingerprint}`"],
        *([["cells", _cells(manifest.cells)]] if manifest.cells else []),
        *([["parameters", f"{parameters:,}"]] if parameters else []),
        ["weights", manifest.quantization],
        ["state of a stream", f"{len(manifest.state):,} tensors, {state:,} bytes"],
        *([["window", manifest.window.describe()]] if manifest.window else []),
        *([] if manifest.memory is None else [["memory", describe_memory(manifest.memory)]]),
        *([["graph", "whole sequences, of any length"]] if manifest.sequence else []),
        *([["graph", "for TensorFlow Lite Micro"]] if manifest.micro else []),
        *([["producer", code(manifest.producer)]] if manifest.producer else []),
    ]
    return table(["", ""], rows)


def _inputs_and_outputs(manifest: Manifest) -> Iterator[str]:
    # How many streams a graph of another tool steps at once is not in the manifest: shapes are those of one stream.
    is_single = manifest.micro is not None or manifest.io_mapping is not None
    lead = "" if is_single else "T, B, " if manifest.sequence else "B, "
    alone = "" if is_single else "B, "

    def shape(before: str, after: Sequence[int]) -> str:
        sizes = [*before.split(", ")[:-1], *map(str, after)]
        return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"

    rows = []
    if len(manifest.vocabulary):
        what = f"id of one of {len(manifest.vocabulary):,} symbols"
        rows.append(["input", f"`{'symbols' if manifest.sequence else 'symbol'}`", "int32", shape(lead, ()), what])
    for feature in manifest.features:
        what = "numbers" if feature.ids is None else f"id, 0 to {feature.ids - 1:,}"
        rows.append(["input", code(feature.name), feature.dtype.__name__, shape(lead, feature.shape), what])
    for tensor in manifest.state:
        what = "given once for each stream" if tensor.given else "state"
        rows.append(["input", code(tensor.name), tensor.dtype, shape(alone, tensor.shape), what])
    rows.append(["output", code(manifest.answer), "float32", shape(lead, [manifest.output_size]), manifest.output])
    for output in manifest.extra_outputs:
        rows.append(["output", code(output.name), "float32", shape(lead, [output.size]), output.activation])
    for tensor in manifest.state:
        what = f"becomes {code(tensor.name)} of the next step"
        rows.append(["output", code(tensor.next), tensor.dtype, shape(alone, tensor.shape), what])
    yield table(["", "name", "type", "shape", ""], rows)
    if not is_single:
        yield "B is the number of streams" + (", T that of steps in a call." if manifest.sequence else ".")
    if manifest.io_mapping is not None:
        yield "Names and shapes are those of stepcell for one stream; `stepcell inspect` shows the names in the graph."
    if len(manifest.vocabulary):
        yield f"Symbols: {_symbols(manifest.vocabulary)}"
    if manifest.labels is not None and manifest.output != "linear":
        yield f"Labels: {_symbols(manifest.labels)}"
    elif manifest.labels is not None:
        yield f"Values: {_symbols(manifest.labels)}"


def _symbols(vocabulary: Vocabulary) -> str:
    shown = ", ".join(map(code, vocabulary.symbols[:_MOST_SYMBOLS]))
    more = len(vocabulary) - _MOST_SYMBOLS
    return f"{shown} and {more:,} more." if more > 0 else f"{shown}."


def _limits(manifest: Manifest) -> Iterator[str]:
    vocabulary, source = manifest.vocabulary, source_of(manifest)
    if len(vocabulary):
        yield (
            "A symbol that is not among its symbols is refused."
            if vocabulary.unknown is None
            else f"A symbol that is not among its symbols is read as {code(vocabulary.unknown)}."
        )
    if manifest.window is not None:
        yield f"An answer depends on the last {manifest.window.length:,} steps alone."
    elif manifest.memory is not None and manifest.memory < LONGEST_MEMORY:
        yield (
            f"It {describe_memory(manifest.memory)}: after so many steps 99 % of states that began anew agree with "
            "carried ones within 1e-4. It is not made to use what is further back."
        )
    if not list(measured(manifest)):
        yield "The manifest has no measured accuracy: measure it on your data before you rely on its answers."
    elif source:
        yield f"The figures hold for data like {code(source)}; `stepcell evaluate` measures others."
    yield "A saved state belongs to the file with this fingerprint alone."
    yield "The manifest, from which this card is made, knows no other purpose or limit of the model."
