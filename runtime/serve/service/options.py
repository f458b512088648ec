"""The options of a service: those of the command, and the keys of its configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...common.errors import CorpusError, OptionError
from ...data.time_bins import seconds_of
from ..adapters.mqtt_options import MqttOptions
from ..rotation import Rotation

WAIT, RESET, CONTINUE = "wait", "reset", "continue"


@dataclass(frozen=True)
class ServeOptions:
    """How a service reads, answers and keeps. An option is called as its attribute, with dashes.

    Attributes:
        store: File of the store.
        model: The model file; None: it is given otherwise.
        backend: Interpreter that steps it; None: the fastest that is installed.
        file: Files to read records from.
        follow: Wait for more at the end of these files.
        http: HOST:PORT of a server of HTTP; None: there is none.
        http_token_file: File of the token that its requests need; None: they need none, from this machine.
        format: "csv" or "jsonl": records are rows of a table like that of the training; None: JSON objects or symbols.
        stream_field: Field of the stream of a record.
        seq_field: Field of its number.
        symbol_field: Field of its symbol.
        on_gap: At a number above the one that is expected "wait" for that, "reset" the stream, or "continue".
        require_start: Refuse a record of a stream in which no sequence has been started.
        unknown: At an unknown symbol "stop", "skip" the record with an error, or "use" the unknown symbol of the
            vocabulary; None: "use" where there is such a symbol, else "skip".
        bad_lines: At a record that cannot be read "stop", or "skip" it with an error.
        reset_on: Symbol after which a stream is reset; None: there is none.
        middle: Fresh streams begin in the middle of a sequence.
        top: How many of the likeliest symbols to name.
        offer_unknown: Name the unknown symbol, and the end symbol of a text, among them.
        threshold: File of calibrated thresholds; None: there is none.
        alert_below: Mark symbols that come with a probability below this; None: none is.
        out: File that answers are appended to; None: there is none.
        out_rotate: The size ("100MB") or "day" after which this file is rotated; None: it never is.
        mqtt: Address of an MQTT broker; None: there is none. `MqttOptions` explains this and the following.
        mqtt_in: Topics of records.
        mqtt_out: Topics of answers.
        mqtt_status: Topic under which status, watermarks and errors stand; None: stepcell/CLIENT_ID.
        mqtt_client_id: Names the session at the broker; None: one that the store keeps.
        mqtt_user: Name to log in with; None: that of the environment, if there is one.
        mqtt_password_file: File of the password; None: that of the environment, if there is one.
        mqtt_ca: File of the certificates for the broker's; None: those of the system.
        home_assistant: Show the streams in Home Assistant, with the three likeliest symbols at least.
        home_assistant_expire: Seconds without an event after which its sensors become unavailable; 0: they never do.
        commit_records: Most records of a transaction.
        commit_interval: Seconds from the first record of a transaction until it ends, at most.
        max_streams: How many streams are kept in memory.
        forget_after: Time ("30d") after which a stream that is not used is forgotten; None: none is.
        keep: How many inputs of each stream are kept, with which a new model is caught up; None: as many as the model
            remembers, 0: none, and no other model can take over.
        shadow: How many records a new model is stepped beside the old one before it takes over; 0: it does at once.

    Raises:
        OptionError: Options do not go together; the message names all problems.
    """

    store: Path
    model: Path | None = None
    backend: str | None = None
    file: tuple[Path, ...] = ()
    follow: bool = False
    http: str | None = None
    http_token_file: Path | None = None
    format: Literal["csv", "jsonl"] | None = None
    stream_field: str = "stream"
    seq_field: str = "seq"
    symbol_field: str = "symbol"
    on_gap: Literal["wait", "reset", "continue"] = "wait"
    require_start: bool = False
    unknown: Literal["stop", "skip", "use"] | None = None
    bad_lines: Literal["stop", "skip"] = "skip"
    reset_on: str | None = None
    middle: bool = False
    top: int = 1
    offer_unknown: bool = False
    threshold: Path | None = None
    alert_below: float | None = None
    out: Path | None = None
    out_rotate: str | None = None
    mqtt: str | None = None
    mqtt_in: str | None = None
    mqtt_out: str | None = None
    mqtt_status: str | None = None
    mqtt_client_id: str | None = None
    mqtt_user: str | None = None
    mqtt_password_file: Path | None = None
    mqtt_ca: Path | None = None
    home_assistant: bool = False
    home_assistant_expire: int = 86_400
    commit_records: int = 32
    commit_interval: float = 0.05
    max_streams: int = 10_000
    forget_after: str | None = None
    keep: int | None = None
    shadow: int = 256

    def __post_init__(self) -> None:
        """Check the options."""
        problems = []
        names = (self.stream_field, self.seq_field, self.symbol_field)
        if len(set(names)) < len(names):
            problems.append(f"stream, number and symbol stand in fields of their own, not in {', '.join(names)}")
        if self.follow and not self.file:
            problems.append("--follow needs --file")
        if self.out is not None and self.out.absolute() in {each.absolute() for each in (self.store, *self.file)}:
            problems.append(f"--out {self.out} is the store, or read by --file: answers go to a file of their own")
        if self.out_rotate is not None:
            try:
                Rotation.parse(self.out_rotate)
            except OptionError as error:
                problems.append(str(error).rstrip("."))
            if self.out is None:
                problems.append("--out-rotate needs --out")
        try:
            _ = self.forget_after_seconds
        except CorpusError as error:
            problems.append(f"--forget-after: {str(error).rstrip('.')}")
        problems += self._problems_of_mqtt()
        if self.http_token_file is not None and self.http is None:
            problems.append("--http-token-file needs --http")
        if (self.keep or 0) < 0 or self.shadow < 0:
            problems.append("--keep and --shadow are 0 or more")
        if self.commit_records < 1 or self.commit_interval < 0 or self.max_streams < 1 or self.top < 1:
            problems.append("--commit-records, --max-streams and --top are 1 or more, --commit-interval is 0 or more")
        if problems:
            raise OptionError(f"These options do not go together: {'; '.join(problems)}.")

    @property
    def reads_stdin(self) -> bool:
        """Whether records come from stdin: no other source is named."""
        return not self.file and self.mqtt_in is None and self.http is None

    @property
    def forget_after_seconds(self) -> float | None:
        """`forget_after` in seconds.

        Raises:
            CorpusError: It is no time.
        """
        return None if self.forget_after is None else seconds_of(self.forget_after, needs_unit=True)

    def mqtt_options(self) -> MqttOptions | None:
        """Return the connection to a broker; None: there is none.

        Raises:
            OptionError: It cannot be used so; the message names all problems.
        """
        if self.mqtt is None:
            return None
        return MqttOptions(
            self.mqtt, self.mqtt_in, self.mqtt_out, self.mqtt_client_id or "", self.mqtt_status or "",
            self.mqtt_user or "", self.mqtt_password_file, self.mqtt_ca,
        )  # fmt: skip

    def _problems_of_mqtt(self) -> list[str]:
        if self.mqtt is None:
            names = [name for name, value in vars(self).items() if name.startswith("mqtt_") and value is not None]
            names += ["home_assistant"] if self.home_assistant else []
            return [f"--{name.replace('_', '-')} needs --mqtt" for name in names]
        if self.mqtt_in is None and self.mqtt_out is None and not self.home_assistant:
            return ["--mqtt needs --mqtt-in, --mqtt-out or --home-assistant"]
        try:
            self.mqtt_options()
        except OptionError as error:
            return [str(error).rstrip(".")]
        return []
