"""The run that another training goes on from, as its folder describes it. Imports no TensorFlow until it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import is_zipfile

import numpy as np

from ...runtime.common.arrays import Float32
from ...runtime.common.errors import CorpusError, ResumeError, StepcellError
from ...runtime.data import EventsReader, FeatureStats, HeldOut, Inherited, TextReader
from ...runtime.data.learned import LearnedData
from ...runtime.format.vocabulary import Vocabulary
from ..fitting.start import Start
from ..network.grow import grow_inputs, grow_outputs
from ..network.network import Network
from ..network.values import ValueScaling
from ..problems.problem import Streams
from ..problems.recorded import EarlierData, RecordedProblem
from .folder import INITIAL_STATE_FILE, MODEL_FILE, RUN_FILE

_READERS: dict[str, Any] = {"events": EventsReader, "text": TextReader}


@dataclass(frozen=True, eq=False)
class BaseRun:
    """A finished run whose network is trained further.

    Attributes:
        folder: Its folder.
        plan: The content of its run.json.
        fingerprint: sha256 of its model and learned initial state, in hex.
    """

    folder: Path
    plan: Mapping[str, Any]
    fingerprint: str

    @classmethod
    def read(cls, folder: Path, problem: str) -> BaseRun:
        """Read a run folder.

        Args:
            folder: The folder.
            problem: Name of the problem that is to be learned now.

        Raises:
            ResumeError: It holds no run, an unfinished one or one of another kind, or is damaged.
        """
        try:
            plan = json.loads((folder / RUN_FILE).read_bytes())
            content = b"".join(_contents(folder))
            run = cls(folder, plan, sha256(content).hexdigest())
            is_whole = is_zipfile(folder / MODEL_FILE)
            _ = run.network, run._vocabulary, plan["options"]["learn_initial_state"], plan["problem"]["name"]
        except (FileNotFoundError, NotADirectoryError) as error:
            if (folder / RUN_FILE).exists():
                raise ResumeError(
                    f"The run in {folder} has no {MODEL_FILE} yet: it is not finished. Finish it first, with its own "
                    "command and --resume."
                ) from None
            raise ResumeError(
                f"There is no run in {folder} (no {Path(str(error.filename)).name}). --from takes a folder that "
                "stepcell train has written."
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, StepcellError) as error:
            raise ResumeError(f"{folder / RUN_FILE} is damaged ({error}). Copy the run folder again.") from error
        if not is_whole:  # said before the data are read, which takes long if they are many
            raise ResumeError(f"{folder / MODEL_FILE} is damaged or cut off. Copy the run folder again.")
        if "reading" not in plan["problem"]:
            raise ResumeError(
                f"The run in {folder} has learned {plan['problem']['name']} and does not record how data are read, so "
                "nothing can go on from it. --from takes a run of events, text or series of this version."
            )
        if plan["problem"]["name"] != problem:
            raise ResumeError(
                f"The run in {folder} has learned {plan['problem']['name']}, not {problem}. Go on with "
                f"stepcell train {plan['problem']['name']}."
            )
        if "normalisation" not in plan and (run.reading.get("features") or run.reading.get("gap_feature")):
            raise ResumeError(
                f"The run in {folder} was written by {plan.get('producer', 'an earlier stepcell')}, which did not "
                "record how its network normalises numbers. Train it again with this version."
            )
        return run

    @property
    def network(self) -> Network:
        """The shape of its network."""
        return Network(**self.plan["network"])

    @property
    def learns_initial_state(self) -> bool:
        """Whether it has learned the state that follows a reset."""
        return bool(self.plan["options"]["learn_initial_state"])

    @property
    def reading(self) -> dict[str, Any]:
        """The values of the reader of its data."""
        return dict(self.plan["problem"]["reading"])

    @property
    def targets(self) -> list[str]:
        """Columns of its right answers; empty: they are the next symbols."""
        return list((self.plan.get("training") or {}).get("data", {}).get("targets", ()))

    @property
    def scaling(self) -> ValueScaling | None:
        """The scale of its values; None: it answers symbols or labels."""
        found = (self.plan.get("normalisation") or {}).get("values")
        if found is None:
            return None
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return ValueScaling(**values)

    def inherited(self, *, grow: bool) -> Inherited:
        """Return what new data are to be read with.

        Args:
            grow: New symbols are appended; see `Inherited`.
        """
        labels = self.plan.get("labels")
        found = (self.plan.get("normalisation") or {}).get("features", [])
        return Inherited(
            str(self.folder), self._vocabulary, self.plan["problem"]["end"],
            tuple(FeatureStats(**each) for each in found), None if labels is None else Vocabulary(tuple(labels)), grow,
        )  # fmt: skip

    def start(self, problem: RecordedProblem) -> Start:
        """Return the start of a training: weights, grown to the vocabulary of `problem`, and data of this run.

        Raises:
            ResumeError: The model is damaged, or has changed since `read`.
        """
        streams, monitor, note = self._held_out(problem)
        return Start(self._weights(problem), streams, monitor, note, self.learned_of(problem))

    def describe(self) -> dict[str, str]:
        """Return which run this is, as run.json and the manifests of its successors record it."""
        return {"run": self.folder.resolve().name, "fingerprint": self.fingerprint}

    def learned_of(self, problem: RecordedProblem) -> str:
        """Return how much of the data that are held out now this run has learned from, in words; "": nothing."""
        learned = LearnedData.from_json((self.plan.get("training") or {}).get("data", {}).get("learned"))
        return "" if learned is None else learned.describe(problem.corpus.held_out)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        symbols = tuple(self.plan["vocabulary"])
        return Vocabulary(symbols, self.plan.get("unknown")) if symbols else Vocabulary.none()

    def _held_out(self, problem: RecordedProblem) -> tuple[Streams | None, str, str]:
        """Return the held-out streams of this run in the vocabulary of `problem`, their evaluation, and a note."""
        plan = self.plan["problem"]
        path, file, split = Path(plan["source"]), plan.get("held_out_source"), plan.get("held_out")
        kind = _READERS[self.reading["kind"]]
        known = {each.name for each in fields(kind)}
        reader = kind(**{name: value for name, value in self.reading.items() if name in known})
        try:
            earlier = EarlierData(
                reader, split and HeldOut.from_json(split), None if split or not file else Path(file), self.targets
            )
            old = problem.of_earlier(path, earlier)
        except CorpusError as error:
            return None, "", f"not known, because its data cannot be read: {error}"
        parts = ((old.corpus.train, "sha256"), (old.corpus.held_out, "held_out_sha256"))
        changed = [part.source for part, key in parts if key in plan and plan[key] != part.sha256]
        if changed:
            return None, "", f"not known, because {' and '.join(changed)} has changed since that run"
        learned = LearnedData.of(problem.corpus.train)
        again = "" if learned is None else learned.describe(old.corpus.held_out)
        monitor = old.recipe.monitor
        return old.evaluations(0)[monitor], monitor, again and f"{again} now"

    def _weights(self, problem: RecordedProblem) -> tuple[Float32, ...]:
        import keras

        try:
            model, *state = _contents(self.folder)
            if sha256(b"".join([model, *state])).hexdigest() != self.fingerprint:
                raise ValueError("it has changed meanwhile")
            with TemporaryDirectory(prefix="stepcell-") as folder:
                copy = Path(folder, MODEL_FILE)
                copy.write_bytes(model)
                weights = tuple(keras.models.load_model(copy, compile=False).get_weights())
            initial: tuple[Float32, ...] = ()
            if state:
                with np.load(self.folder / INITIAL_STATE_FILE) as archive:
                    initial = tuple(archive[name] for name in archive.files)
            known = self._vocabulary
            if len(known) and len(weights[0]) != len(known):
                raise ValueError(f"it knows {len(weights[0]):,} symbols, and {RUN_FILE} {len(known):,}")
        except Exception as error:  # Keras, h5py and zipfile raise whatever the damaged part ran into
            raise ResumeError(
                f"{self.folder / MODEL_FILE} cannot be read ({error}). Copy the run folder again."
            ) from error
        unknown = None if known.unknown is None else known.encode(known.unknown)
        added = len(problem.vocabulary) - len(known)
        if added:
            weights = grow_inputs(weights, added, unknown, one_hot=not self.network.embedding)
        labels = self.plan.get("labels")
        if problem.labels is not None and labels is not None:
            added, unknown = len(problem.labels) - len(labels), None
        if added:
            weights = (*weights[:-2], *grow_outputs(weights[-2], weights[-1], added, unknown))
        return (*weights, *initial)


def _contents(folder: Path) -> list[bytes]:
    """Return the content of the model file, and of that of the learned initial state if there is one."""
    contents = [(folder / MODEL_FILE).read_bytes()]
    with suppress(FileNotFoundError):
        contents.append((folder / INITIAL_STATE_FILE).read_bytes())
    return contents
