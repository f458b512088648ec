"""The command `stepcell serve`."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .options import Backend, argument, data, output, panel

if TYPE_CHECKING:
    from ..serve.service.options import ServeOptions

saving, mqtt_panel, http_panel = map(panel, ("Store", "MQTT", "HTTP"))


def serve(
    context: typer.Context,
    model: Annotated[Path | None, argument("Model file (.tflite or .onnx).")] = None,
    store: Annotated[Path | None, saving(
        "File of the store: the states of all streams and what is kept with them.", "that of --config")] = None,
    config: Annotated[Path | None, saving(
        "File of TOML with options by their names; those of the command line win.", "none")] = None,
    check: Annotated[bool, saving(
        "Look whether the service would start, say what is right and wrong, and end; nothing is changed.",
        flag="--check")] = False,
    file: Annotated[list[Path] | None, data(
        "File to read records from, one per line; may be given several times.", "stdin", flag="--file",
        metavar="FILE")] = None,
    follow: Annotated[bool, data(
        "Wait for more at the end of these files, also where they are rotated.", flag="--follow")] = False,
    http: Annotated[str | None, http_panel(
        "Take records by HTTP at this address, with a page to look at, metrics and events.", "no HTTP",
        metavar="HOST:PORT")] = None,
    http_token_file: Annotated[Path | None, http_panel(
        "File of the token that requests need; needed where other machines reach the address.", "no token")] = None,
    format: Annotated[Literal["csv", "jsonl"] | None, data(
        "Records are rows of a table with the columns of the training.", "JSON objects, or symbols")] = None,
    stream_field: Annotated[str, data("Field of the stream of a record.", metavar="FIELD")] = "stream",
    seq_field: Annotated[str, data("Field of the number of a record.", metavar="FIELD")] = "seq",
    symbol_field: Annotated[str, data("Field of the symbol of a record.", metavar="FIELD")] = "symbol",
    on_gap: Annotated[Literal["wait", "reset", "continue"], data(
        "At a number above the expected one wait for that, reset the stream, or continue.")] = "wait",
    require_start: Annotated[bool, data(
        "Refuse records of a stream in which no sequence has been started.", flag="--require-start")] = False,
    unknown: Annotated[Literal["stop", "skip", "use"] | None, data(
        "At a symbol that the model does not know, stop, skip it with an error, or use the unknown symbol of the "
        "vocabulary.", "use where there is an unknown symbol, else skip")] = None,
    bad_lines: Annotated[Literal["stop", "skip"], data(
        "At a record that cannot be read, stop, or skip it with an error.")] = "skip",
    reset_on: Annotated[str | None, data(
        "Symbol after which the stream is reset: the next record begins a new sequence.", "none",
        metavar="SYMBOL")] = None,
    middle: Annotated[bool, data(
        "Begin in the middle of a sequence, without the end symbol.", flag="--middle")] = False,
    mqtt: Annotated[str | None, mqtt_panel(
        "Broker: mqtt://HOST, mqtt://HOST:PORT, or mqtts://HOST for TLS.", "none", metavar="URL")] = None,
    mqtt_in: Annotated[str | None, mqtt_panel(
        "Topics to read records from: {stream} is one level, {stream:path} all that follow.", "none",
        metavar="TOPIC")] = None,
    mqtt_out: Annotated[str | None, mqtt_panel("Topics of the answers, likewise.", "none", metavar="TOPIC")] = None,
    mqtt_status: Annotated[str | None, mqtt_panel(
        "Topic under which status, watermarks and errors stand.", "stepcell/CLIENT_ID", metavar="TOPIC")] = None,
    mqtt_client_id: Annotated[str | None, mqtt_panel(
        "Name of the session that the broker keeps.", "one that the store keeps", metavar="NAME")] = None,
    mqtt_user: Annotated[str | None, mqtt_panel("Name to log in with.", "STEPCELL_MQTT_USER", metavar="NAME")] = None,
    mqtt_password_file: Annotated[Path | None, mqtt_panel(
        "File of the password.", "STEPCELL_MQTT_PASSWORD")] = None,
    mqtt_ca: Annotated[Path | None, mqtt_panel(
        "File of the certificates to verify the broker with.", "those of the system")] = None,
    home_assistant: Annotated[bool, mqtt_panel(
        "Show the streams in Home Assistant, which finds them by itself.", flag="--home-assistant")] = False,
    home_assistant_expire: Annotated[int, mqtt_panel(
        "Seconds without an event after which its sensors become unavailable; 0: never.", min=0)] = 86_400,
    commit_records: Annotated[int, saving("Most records of a transaction.", min=1)] = 32,
    commit_interval: Annotated[float, saving(
        "Seconds from the first record of a transaction until it ends, at most. It ends at once when no record "
        "waits.", min=0)] = 0.05,
    max_streams: Annotated[int, saving("Streams to keep in memory; all of them are in the store.", min=1)] = 10_000,
    forget_after: Annotated[str | None, saving(
        "Forget streams that are not used for this time, like 12h or 30d; they begin anew if they come back.", "never",
        metavar="TIME")] = None,
    keep: Annotated[int | None, saving(
        "Inputs of each stream to keep, with which a new model is caught up; 0: none, and no model can take over.",
        "as many as the model remembers", min=0)] = None,
    shadow: Annotated[int, saving(
        "Records for which a new model is stepped beside the old one before it takes over.", min=0)] = 256,
    backend: Backend = None,
    out: Annotated[Path | None, output("Append the answers to this file, each of them once.", "none")] = None,
    out_rotate: Annotated[str | None, output(
        "Begin a new file once it has this size (100MB), or each day (day).", "never",
        metavar="SIZE|day")] = None,
    threshold: Annotated[Path | None, output(
        "Mark surprising symbols by this file of stepcell calibrate.", "no marks")] = None,
    alert_below: Annotated[float | None, output(
        "Mark symbols that come with a probability below this.", "none", metavar="P")] = None,
    top: Annotated[int, output("Number of most likely symbols to name.", min=1)] = 1,
    offer_unknown: Annotated[bool, output(
        "Name the unknown symbol, and the end symbol of a text, among them.", flag="--offer-unknown")] = False,
) -> None:  # fmt: skip
    r"""Step each record of each stream once, keep the states in a store, and answer.

    Records are JSON lines from stdin, {"stream": "press", "seq": 7, "symbol": "open"}, and answers go to stdout. A
    record is answered when its state is kept: a kill or a power failure loses nothing.

    Example: tail -F events.jsonl | stepcell serve model.tflite --store state.db
    """
    parameters = dict(locals())
    from .. import load
    from ..common.terminal import print_text, silence_stderr
    from ..serve.service.start import serve as run

    if check:
        _check(context, parameters)
        return
    options = _chosen(context, parameters)
    assert options.model is not None, "read_options has looked"
    with silence_stderr():
        loaded = load(options.model, backend=options.backend)
    stopped_by = run(loaded, options, partial(print_text, err=True))
    if stopped_by == signal.SIGINT:
        raise KeyboardInterrupt
    if stopped_by:
        signal.signal(stopped_by, signal.SIG_DFL)  # so that the exit status names the signal
        os.kill(os.getpid(), stopped_by)


def _chosen(context: typer.Context, parameters: dict[str, Any]) -> ServeOptions:
    """Return the options of the configuration file and the command line."""
    from ..serve.service.configuration import read_options

    sources = {name: context.get_parameter_source(name) for name in parameters}
    given = {
        name: tuple(parameters[name]) if name == "file" else parameters[name]
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE" and name not in ("config", "check")
    }
    return read_options(parameters["config"], given)


def _check(context: typer.Context, parameters: dict[str, Any]) -> None:
    """Print what is right and wrong; exit with 1 if something is wrong."""
    from ..common.errors import StepcellError
    from ..common.terminal import print_table, silence_stderr

    try:
        options = _chosen(context, parameters)
    except StepcellError as error:
        print_table(["checked", "", "found"], [["configuration", "wrong", str(error)]])
        raise SystemExit(1) from None
    from ..serve.service.check import check_service

    with silence_stderr():
        found = list(check_service(options))
    print_table(
        ["checked", "", "found"], [[what, "right" if is_right else "wrong", text] for what, is_right, text in found]
    )
    if not all(one.is_right for one in found):
        raise SystemExit(1)
