"""What `stepcell predict` does: lines in, answers out, and a state file that holds how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import OptionError, StepcellError
from ..model import Model
from .feed import Feed, Manner
from .file_lines import FileLines
from .input_place import InputPlace
from .interruption import InterruptedFeedError, Interruption
from .line import Lines
from .piped_lines import PipedLines
from .saving_rhythm import SavingRhythm
from .state_file import StateFile

SAVE_EVERY, SAVE_SECONDS, MOST_STREAMS = 1_000, 5.0, 1_000


@dataclass(frozen=True)
class Route:
    """Where lines come from, and where the state is kept. None: the default, or none.

    Attributes:
        input: File to read; None: stdin.
        follow: Wait for what is appended to it.
        state: File of saved streams to go on from, and to save to.
        other_model: Take the state from another model file too.
        save_every: Save after so many lines.
        save_seconds: Or after this time.
        streams: How many streams to keep.

    Raises:
        OptionError: They do not go together; all of them are named.
    """

    input: Path | None = None
    follow: bool = False
    state: Path | None = None
    other_model: bool = False
    save_every: int | None = None
    save_seconds: float | None = None
    streams: int | None = None

    def __post_init__(self) -> None:
        """Check them."""
        problems = ["--follow needs --input"] if self.follow and self.input is None else []
        if self.state is None:
            given = {"--save-every": self.save_every is not None, "--save-seconds": self.save_seconds is not None}
            given["--other-model"] = self.other_model
            problems += [f"{name} needs --state" for name, is_given in given.items() if is_given]
        if problems:
            raise OptionError(f"An option is missing: {'; '.join(problems)}.")


def predict_lines(
    model: Model, manner: Manner, route: Route, stdin: BinaryIO | None, answer: Callable[[str], None],
    tell: Callable[[str], None],
) -> None:  # fmt: skip
    """Answer the lines of a file or of stdin, one by one as they come, and save as `route` says.

    An answer is given before it is saved that its line has been read: after a crash some are given again, none is left
    out. On the first Ctrl-C or SIGTERM, and when a line is refused, everything that has been answered is saved.

    Args:
        model: The model.
        manner: How lines are read and answered.
        route: Where they come from and where the state is kept.
        stdin: Read if there is no input file.
        answer: Prints an answer.
        tell: Takes remarks for the user.

    Raises:
        InterruptedFeedError: A signal has come; everything is saved.
        OptionError: There is no stdin, or options do not go together.
        InputError, UnknownSymbolError, FeatureMismatchError, BackendError, NotFiniteError: As `Feed.answer` does.
        SavedStateError, StateMismatchError, StateNotFoundError: The state file is not for this. It is as it was.
        OutputError: It cannot be written. What was saved before still is.
    """
    if route.streams is not None and manner.stream_field is None:
        raise OptionError("--streams is how many streams to keep: it needs --stream, which tells them apart.")
    interruption = Interruption()
    with ExitStack() as stack:
        stack.enter_context(interruption.noticed())
        state = None if route.state is None else stack.enter_context(StateFile(route.state))
        feed, place = Feed(model, manner, route.streams or MOST_STREAMS, tell), None
        saved = None if state is None else state.read()
        if state is not None and saved is not None:
            place = feed.go_on(saved, state.path.name, other_model=route.other_model)
            if place is None and route.input is not None:
                tell(f"{state.path} does not say how far {route.input} was read: reading it from its beginning.")
        lines, here = _open(route, stdin, interruption, tell, place)
        stack.callback(lines.close)
        if state is None:
            _feed(feed, lines, interruption, None, answer)
            return
        path = state.path
        rhythm = SavingRhythm(
            lambda: feed.saved(here()).to_file(path), route.save_every or SAVE_EVERY,
            SAVE_SECONDS if route.save_seconds is None else route.save_seconds,
        )  # fmt: skip
        tell(f"{path}: {feed.progress()}")
        if saved is None:
            feed.saved(here()).to_file(path)  # or a state that cannot be saved would be noticed too late
        try:
            _feed(feed, lines, interruption, rhythm, answer)
        except (InterruptedFeedError, StepcellError):
            rhythm.save()
            tell(f"{path}: {feed.progress()}; saved")
            raise
        rhythm.save()


def _open(
    route: Route, stdin: BinaryIO | None, interruption: Interruption, tell: Callable[[str], None],
    place: InputPlace | None,
) -> tuple[Lines, Callable[[], InputPlace | None]]:  # fmt: skip
    """Return the lines, and what tells the place in them where they have one."""
    if route.input is not None:
        file = FileLines(
            route.input, interruption, tell, follow=route.follow, whole_lines=route.state is not None, place=place
        )
        return file, file.place
    if stdin is None:
        raise OptionError("There is no stdin to read symbols from.")
    return PipedLines(stdin, interruption), lambda: None


def _feed(
    feed: Feed, lines: Lines, interruption: Interruption, rhythm: SavingRhythm | None, answer: Callable[[str], None]
) -> None:
    while True:
        interruption.check()
        line = lines.next(None if rhythm is None else rhythm.patience())
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
