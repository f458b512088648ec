"""What `stepcell predict` does: lines in, answers out, and a state file that holds how far it has come.

When a feed saves.

A file of saved streams that a feed goes on from and saves to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ..common.atomic_write import remove_partial_files
from ..common.errors import OptionError, OutputError, StepcellError
from ..streams.model import Model
from ..streams.saved_state import SavedStreams, read_saved_streams
from .file_lines import FileLines, InputOffset
from .lines import Lines, PipedLines
from .session import LineOptions, Session
from .signals import InterruptedSessionError, SignalGuard


class CheckpointPolicy:
    """When to save: after so many lines, or so long after the first that is not saved, whichever comes first.

    A count alone would leave the last lines before a silence unsaved until the silence ends.
    """

    def __init__(self, save: Callable[[], None], lines: int, seconds: float) -> None:
        """Begin with everything saved.

        Args:
            save: Saves.
            lines: After so many lines.
            seconds: Or after this time.
        """
        self._save, self._lines, self._seconds = save, lines, seconds
        self._unsaved, self._due = 0, 0.0

    def count(self) -> None:
        """Take note of a line that has been answered; save if it is time."""
        if not self._unsaved:
            self._due = time.monotonic() + self._seconds
        self._unsaved += 1
        if self._unsaved >= self._lines or time.monotonic() >= self._due:
            self.save()

    def timeout(self) -> float | None:
        """Return how many seconds there are until something must be saved; None: there is nothing to save."""
        return max(0.0, self._due - time.monotonic()) if self._unsaved else None

    def save_if_due(self) -> None:
        """Save if the time has come, and there is something to save."""
        if self.timeout() == 0:
            self.save()

    def save(self) -> None:
        """Save if there is something to save."""
        if self._unsaved:
            self._save()
            self._unsaved = 0


class StateFile:
    """A file of saved streams, which belongs to one process at a time.

    Used in a `with` statement: it is held meanwhile, by a lock on a hidden file beside it that stays there and that a
    process loses when it ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        """Name the file, which need not exist."""
        self.path = path
        self._release: Callable[[], None] = lambda: None

    def __enter__(self) -> StateFile:
        """Hold it.

        Raises:
            OutputError: Another process holds it, or nothing can be written there.
        """
        from filelock import FileLock, Timeout  # takes long to import

        beside = self.path.with_name(f".{self.path.name}.lock")
        lock = FileLock(beside, timeout=0)
        try:
            beside.touch()  # a lock would make missing folders, and time out in one that cannot be written to
            lock.acquire()
            self._release = lock.release
        except Timeout:
            raise OutputError(
                f"{self.path} is in use: another process saves its streams there. Give each a file of its own."
            ) from None
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error.strerror or error}.") from error
        remove_partial_files(self.path.parent, self.path.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""
        self._release()

    def read(self) -> SavedStreams | None:
        """Return what was saved; None: there is no such file.

        Raises:
            StateNotFoundError, SavedStateError: It cannot be read.
        """
        return read_saved_streams(self.path) if self.path.exists() else None


SAVE_EVERY, SAVE_INTERVAL, MOST_STREAMS = 1_000, 5.0, 1_000


@dataclass(frozen=True)
class IOOptions:
    """Where lines come from, and where the state is kept. None: the default, or none.

    Attributes:
        input: File to read; None: stdin.
        follow: Wait for what is appended to it.
        state: File of saved streams to go on from, and to save to.
        ignore_fingerprint: Take the state from another model file too.
        save_every: Save after so many lines.
        save_interval: Or after this time.
        max_streams: How many streams to keep.

    Raises:
        OptionError: They do not go together; all of them are named.
    """

    input: Path | None = None
    follow: bool = False
    state: Path | None = None
    ignore_fingerprint: bool = False
    save_every: int | None = None
    save_interval: float | None = None
    max_streams: int | None = None

    def __post_init__(self) -> None:
        """Check them."""
        problems = ["--follow needs --input"] if self.follow and self.input is None else []
        if self.state is None:
            given = {"--save-every": self.save_every is not None, "--save-interval": self.save_interval is not None}
            given["--ignore-fingerprint"] = self.ignore_fingerprint
            problems += [f"{name} needs --state" for name, is_given in given.items() if is_given]
        if problems:
            raise OptionError(f"An option is missing: {'; '.join(problems)}.")


def predict_lines(
    model: Model, options: LineOptions, io: IOOptions, stdin: BinaryIO | None, answer: Callable[[str], None],
    tell: Callable[[str], None],
) -> None:  # fmt: skip
    """Answer the lines of a file or of stdin, one by one as they come, and save as `io` says.

    An answer is given before it is saved that its line has been read: after a crash some are given again, none is left
    out. On the first Ctrl-C or SIGTERM, and when a line is refused, everything that has been answered is saved.

    Args:
        model: The model.
        options: How lines are read and answered.
        io: Where they come from and where the state is kept.
        stdin: Read if there is no input file.
        answer: Prints an answer.
        tell: Takes remarks for the user.

    Raises:
        InterruptedSessionError: A signal has come; everything is saved.
        OptionError: There is no stdin, or options do not go together.
        InputError, UnknownSymbolError, FeatureMismatchError, BackendError, NotFiniteError: As `Session.answer` does.
        SavedStateError, StateMismatchError, StateNotFoundError: The state file is not for this. It is as it was.
        OutputError: It cannot be written. What was saved before still is.
    """
    if io.max_streams is not None and options.key_field is None:
        raise OptionError("--max-streams is how many streams to keep: it needs --key, which tells them apart.")
    interruption = SignalGuard()
    with ExitStack() as stack:
        stack.enter_context(interruption.noticed())
        state = None if io.state is None else stack.enter_context(StateFile(io.state))
        feed, place = Session(model, options, io.max_streams or MOST_STREAMS, tell), None
        saved = None if state is None else state.read()
        if state is not None and saved is not None:
            place = feed.go_on(saved, state.path.name, ignore_fingerprint=io.ignore_fingerprint)
            if place is None and io.input is not None:
                tell(f"{state.path} does not say how far {io.input} was read: reading it from its beginning.")
        lines, here = _open(io, stdin, interruption, tell, place)
        stack.callback(lines.close)
        if state is None:
            _feed(feed, lines, interruption, None, answer)
            return
        path = state.path
        rhythm = CheckpointPolicy(
            lambda: feed.saved(here()).to_file(path), io.save_every or SAVE_EVERY,
            SAVE_INTERVAL if io.save_interval is None else io.save_interval,
        )  # fmt: skip
        tell(f"{path}: {feed.progress()}")
        if saved is None:
            feed.saved(here()).to_file(path)  # or a state that cannot be saved would be noticed too late
        try:
            _feed(feed, lines, interruption, rhythm, answer)
        except (InterruptedSessionError, StepcellError):
            rhythm.save()
            tell(f"{path}: {feed.progress()}; saved")
            raise
        rhythm.save()


def _open(
    io: IOOptions, stdin: BinaryIO | None, interruption: SignalGuard, tell: Callable[[str], None],
    place: InputOffset | None,
) -> tuple[Lines, Callable[[], InputOffset | None]]:  # fmt: skip
    """Return the lines, and what tells the place in them where they have one."""
    if io.input is not None:
        file = FileLines(io.input, interruption, tell, follow=io.follow, whole_lines=io.state is not None, place=place)
        return file, file.place
    if stdin is None:
        raise OptionError("There is no stdin to read symbols from.")
    return PipedLines(stdin, interruption), lambda: None


def _feed(
    feed: Session,
    lines: Lines,
    interruption: SignalGuard,
    rhythm: CheckpointPolicy | None,
    answer: Callable[[str], None],
) -> None:
    while True:
        interruption.check()
        line = lines.next(None if rhythm is None else rhythm.timeout())
        if line is not None:
            try:
                text = feed.answer(line)
            except StepcellError:
                lines.take_back()
                raise
            answer(text)
            if rhythm is not None:
                rhythm.count()
        elif lines.has_ended:
            return
        elif rhythm is not None:
            rhythm.save_if_due()
