"""The folder of a search: the run of its best trial, and beside it what has been tried."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..runtime.errors import ResumeError
from ..runtime.whole_file import remove_unfinished_files, write_whole_file
from .options import Options
from .problem import Problem
from .run_folder import PLAN_FILE, TRIALS_FILE, TRIALS_PICTURE, as_json, check_free, differences, move_aside
from .search_picture import draw_search
from .search_space import Space
from .search_trial import Trial, read_trials, write_trials


class SearchFolder:
    """Where a search leaves what it knows: search.json (what is searched), search.csv, search.png.

    Attributes:
        folder: The folder; the run of the best trial so far stands in it too.
        space: What is searched.
        trials: Those that were finished before, where the search goes on.
    """

    def __init__(self, folder: Path, problem: Problem, options: Options, space: Space, *, resume: bool) -> None:
        """Make sure that the search can be written to `folder`. Nothing there is changed yet.

        Args:
            folder: Where to write; made if it is not there.
            problem: What is learned.
            options: How, in each trial.
            space: What is searched.
            resume: Go on with the search in `folder`.

        Raises:
            OutputError: The folder cannot be written, or holds files that no run has left there.
            ResumeError: There is nothing to go on with, or it is another search; all differences are named.
        """
        self.folder, self.space = folder.resolve(), space
        self.trials: list[Trial] = []
        self._begun = resume
        self._plan = {
            "producer": f"stepcell {__version__}",
            "problem": {"name": problem.name, **problem.to_json()},
            "options": options.to_json(),
            "space": space.to_json(),
        }
        if resume:
            self.trials = self._read()
            remove_unfinished_files(self.folder)
        else:
            check_free(self.folder)

    def checkpoint(self, number: int) -> Path:
        """Return where trial `number` keeps its checkpoint; no other trial may go on from it."""
        return self.folder / f"checkpoint.{number}.npz"

    def begin(self) -> None:
        """Take the folder, once something has been learned: an earlier run's files move to FOLDER.previous.

        Raises:
            OutputError: They cannot be moved, or the folder cannot be written.
        """
        if self._begun:
            return
        move_aside(self.folder)
        write_whole_file(self.folder / PLAN_FILE, as_json(self._plan))
        write_whole_file(self.folder / TRIALS_FILE, write_trials([]))
        self._begun = True

    def record(self, trials: Sequence[Trial]) -> None:
        """Write all trials so far.

        Raises:
            OutputError: They cannot be written; those written before still stand there.
        """
        write_whole_file(self.folder / TRIALS_FILE, write_trials(trials))

    def finish(self, trials: Sequence[Trial]) -> None:
        """Draw the trials, where there are any and matplotlib is there."""
        picture = draw_search(trials) if trials else None
        if picture is not None:
            write_whole_file(self.folder / TRIALS_PICTURE, picture)

    def _read(self) -> list[Trial]:
        try:
            found = json.loads((self.folder / PLAN_FILE).read_bytes())
            trials = read_trials((self.folder / TRIALS_FILE).read_bytes())
            differing = differences(found, self._plan, ("problem", "options", "space"))
        except FileNotFoundError:
            raise ResumeError(
                f"There is no search in {self.folder} to go on with. Start it without --resume."
            ) from None
        except (OSError, ValueError, AttributeError) as error:
            if isinstance(error, ResumeError):
                raise
            raise ResumeError(f"{self.folder / PLAN_FILE} is damaged ({error}). Start without --resume.") from error
        if differing:
            raise ResumeError(
                f"The search in {self.folder} was started differently. Repeat its command with --resume; only the "
                f"number of trials may change:\n{differing}"
            )
        return trials
