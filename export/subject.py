"""What is exported: a model taken apart, with the symbols it reads and answers with and the state it starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from .. import __version__
from ..runtime.common.errors import VocabularyError
from ..runtime.format.manifest import Manifest
from ..runtime.format.tensor_specs import Output
from ..runtime.format.vocabulary import Vocabulary, read_symbols
from .layers.keras_graph import KerasModel
from .start_state import with_start_state
from .step_function.build import StepFunction, build_step_function


@dataclass(frozen=True)
class Subject:
    """A model on its way into files.

    Attributes:
        step_function: The model taken apart, starting from where the files start.
        manifest: All that every file says about it; what was measured is still missing.
    """

    step_function: StepFunction
    manifest: Manifest


def subject_of(
    model: KerasModel,
    *,
    vocabulary: Vocabulary | Iterable[str] | None,
    labels: Vocabulary | Iterable[str] | None,
    name: str,
    one_hot: bool,
    values: bool,
    training: Mapping[str, Any],
    initial_state: Mapping[str, ArrayLike] | None,
    warm_up: str | Iterable[str],
) -> Subject:
    """Take `model` apart and see that everything given fits it; the arguments are those of `export`.

    Raises:
        NotSteppableError, StateMismatchError, VocabularyError, UnknownSymbolError: As `export` does.
    """
    step_function = build_step_function(model, one_hot=one_hot, values=values, name=name)
    symbols, answers = _fitting(step_function, _as_vocabulary(vocabulary), _as_vocabulary(labels))
    before = read_symbols(warm_up, symbols) if isinstance(warm_up, str) else warm_up
    step_function = with_start_state(step_function, initial_state, symbols.encode_all(before))
    manifest = Manifest(
        name=name.encode(errors="replace").decode(),
        vocabulary=symbols,
        labels=answers,
        output=step_function.main.activation,
        features=step_function.features,
        extra_outputs=tuple(Output(each.name, each.size, each.activation) for each in step_function.extra_outputs),
        state=step_function.state,
        cells=step_function.cells,
        training=dict(training),
        producer=f"stepcell {__version__}",
    )
    return Subject(step_function, manifest)


def _as_vocabulary(symbols: Vocabulary | Iterable[str] | None) -> Vocabulary | None:
    return symbols if symbols is None or isinstance(symbols, Vocabulary) else Vocabulary(tuple(symbols))


def _fitting(
    step_function: StepFunction, vocabulary: Vocabulary | None, labels: Vocabulary | None
) -> tuple[Vocabulary, Vocabulary | None]:
    """Return vocabulary and labels of the right sizes, or raise VocabularyError with everything that is wrong."""
    symbols, outputs = step_function.symbols, step_function.outputs
    problems = []
    if vocabulary is None:
        vocabulary = Vocabulary.of_ids(symbols) if symbols else Vocabulary.none()
        if labels is None and not step_function.predicts_symbols:
            labels = Vocabulary.of_ids(outputs)
    elif not symbols:
        problems.append(
            f"the model reads features and no symbols, the vocabulary has {len(vocabulary)}; if its vectors are "
            "one-hot symbols, say so (--one-hot)"
        )
    elif len(vocabulary) != symbols:
        problems.append(f"the model reads {symbols} symbols, the vocabulary has {len(vocabulary)}")
    if labels is not None and len(labels) != outputs:
        problems.append(f"the model answers with {outputs} probabilities, there are {len(labels)} labels")
    if labels is None and step_function.main.activation == "linear":
        labels = Vocabulary.of_ids(outputs)
    if labels is None and outputs != symbols:
        problems.append(
            f"the model reads {symbols} symbols and answers with {outputs} probabilities: give a vocabulary of labels"
        )
    if problems:
        raise VocabularyError(f"The vocabulary does not fit the model: {'; '.join(problems)}. Nothing was written.")
    return vocabulary, labels
