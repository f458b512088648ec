"""`stepcell predict`: answer lines, and save how far they have been answered."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..common.errors import InputError, OptionError, StepcellError
from ..streams.model import Model
from ..streams.saved_state import read_saved_streams
from .chunks import WAV, ChunkBuffer, wav_lines
from .file_lines import FileLines
from .input_offset import InputOffset
from .lines import Line, LineBuffer, Lines, LongLineError, PipedLines
from .session import LineOptions, Session
from .signals import InterruptedSessionError, SignalGuard
from .state_file import CheckpointPolicy, locked

SAVE_EVERY, SAVE_INTERVAL, MAX_STREAMS = 1_000, 5.0, 1_000


@dataclass(frozen=True)
class IOOptions:
    """Input of a session, and the file of its state. None: the default, or none.

    Attributes:
        input: File to read; None: stdin.
        follow: Wait for lines that are appended to it.
        state: File of saved streams to go on from and to save to.
        ignore_fingerprint: Accept the state of another model file.
        save_every: Save after so many lines.
        save_interval: Save so many seconds after the first unsaved line.
        max_streams: How many streams to keep.

    Raises:
        OptionError: They do not go together; the message names all problems.
    """

    input: Path | None = None
    follow: bool = False
    state: Path | None = None
    ignore_fingerprint: bool = False
    save_every: int | None = None
    save_interval: float | None = None
    max_streams: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        problems = ["--follow needs --input"] if self.follow and self.input is None else []
        if self.state is None:
            given = {"--save-every": self.save_every is not None, "--save-interval": self.save_interval is not None}
            given["--ignore-fingerprint"] = self.ignore_fingerprint
            problems += [f"{name} needs --state" for name, is_given in given.items() if is_given]
        if problems:
            raise OptionError(f"An option is missing: {'; '.join(problems)}.")


def predict_lines(
    model: Model, options: LineOptions, io: IOOptions, stdin: BinaryIO | None, answer: Callable[[str], None],
    tell: Callable[[str], None], guard: SignalGuard | None = None, sync: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """Answer the lines of a file or of stdin as they come, and save the state.

    A line is saved as read after its answer has been given: after a crash some answers come again, none is left out.
    On the first Ctrl-C or SIGTERM, and when a line is refused, all answered lines are saved; lines that were taken from
    a pipe are answered before.

    Args:
        model: The model.
        options: How lines are parsed and answered.
        io: The input and the file of the state.
        stdin: Read if there is no input file.
        answer: Prints an answer.
        tell: Takes remarks for the user.
        guard: Takes signals; None: a new one.
        sync: Makes the answers that were printed durable, before each save; None: they are, or cannot be.

    Raises:
        InterruptedSessionError: A signal has come; everything is saved.
        OptionError: There is no stdin, or options do not go together.
        InputError, UnknownSymbolError, FeatureMismatchError, BackendError, NotFiniteError: As `Session.answer` does.
        SavedStateError, StateMismatchError, StateNotFoundError: The state does not fit, and its file is unchanged.
        OutputError: The state cannot be written. The file holds the last one that was.
    """
    if io.max_streams is not None and options.key_field is None and options.format is None:
        raise OptionError("--max-streams is the number of streams by key: it needs --key.")
    guard = guard or SignalGuard()
    with ExitStack() as stack:
        stack.enter_context(guard.installed())
        path = None if io.state is None else Path(os.path.realpath(io.state))  # a link to it stays one
        if path is not None:
            stack.enter_context(locked(path))
        saved = read_saved_streams(path) if path is not None and path.exists() else None
        session, offset = Session(model, options, io.max_streams or MAX_STREAMS, tell), None
        if path is not None and saved is not None:
            offset = session.go_on(saved, path.name, ignore_fingerprint=io.ignore_fingerprint)
            if offset is None and io.input is not None:
                tell(f"{io.state} does not say how far {io.input} was read: reading it from its beginning.")
        if io.input is not None:
            lines = _lines_of_file(io.input, io, session, options, guard, tell, offset)
            if isinstance(lines, FileLines):
                stack.enter_context(closing(lines))
        elif stdin is None:
            raise OptionError("There is no stdin to read symbols from.")
        elif session.chunks is not None and options.format == WAV:
            lines = wav_lines(stdin.read(), "stdin", session.chunks, tell, guard)
        else:
            lines = PipedLines(stdin, guard, _new_buffer(session, tell))
        stack.callback(session.tell_totals)
        if path is None:
            answer_lines(session, lines, guard, answer)
            return

        def save() -> None:
            if sync is not None:
                sync()
            if session.can_be_saved:
                session.saved(lines.offset()).to_file(path)

        policy = CheckpointPolicy(
            save, io.save_every or SAVE_EVERY, SAVE_INTERVAL if io.save_interval is None else io.save_interval,
            guard.now,
        )  # fmt: skip
        lines.on_new_content = partial(policy.save, force=True)
        tell(f"{io.state}: {session.progress()}")
        if saved is None or lines.begins_anew:
            policy.save(force=True)  # else a file that cannot be written would be noticed too late
        try:
            answer_lines(session, lines, guard, answer, policy)
        except (InterruptedSessionError, StepcellError):
            policy.save()
            tell(f"{io.state}: {session.progress()}; saved")
            raise
        policy.save()


def _lines_of_file(
    path: Path, io: IOOptions, session: Session, options: LineOptions, guard: SignalGuard, tell: Callable[[str], None],
    offset: InputOffset | None,
) -> Lines:  # fmt: skip
    """Return the lines or chunks of a file."""
    if session.chunks is None or options.format != WAV:
        return FileLines(
            path, guard, tell, follow=io.follow, whole_lines=io.state is not None, offset=offset,
            new_buffer=_new_buffer(session, tell),
        )  # fmt: skip
    if io.follow:
        raise OptionError("A WAV file says where it ends: leave out --follow, or pipe raw float32 in (--format f32).")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    return wav_lines(content, path.name, session.chunks, tell, guard)


def _new_buffer(session: Session, tell: Callable[[str], None]) -> Callable[[int, int], LineBuffer]:
    """Return the function that makes a buffer of lines, or of chunks, at an offset."""
    return LineBuffer if session.chunks is None else partial(ChunkBuffer, session.chunks.bytes_of_chunk, tell)


def answer_lines(
    session: Session, lines: Lines, guard: SignalGuard, answer: Callable[[str], None],
    policy: CheckpointPolicy | None = None,
) -> None:  # fmt: skip
    """Answer lines until they end, and save as `policy` says; see `predict_lines`."""

    def answer_one(line: Line) -> None:
        try:
            text = session.answer(line)
        except Exception:
            lines.take_back()
            if policy is not None:
                policy.save()
            raise
        if text is not None:
            answer(text)
        if policy is not None:
            policy.count()

    while True:
        try:
            guard.check()
            line = lines.next(None if policy is None else policy.timeout())
        except InterruptedSessionError:
            for line in lines.taken():
                answer_one(line)
            raise
        except LongLineError as error:
            if not session.skips_bad_lines:
                raise
            number = lines.skip()
            answer(session.skip_unread(number, str(error)))
            continue
        if line is not None:
            answer_one(line)
        elif lines.has_ended:
            return
        elif policy is not None:
            policy.save_if_due()
