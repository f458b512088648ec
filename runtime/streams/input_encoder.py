"""Validate and encode the inputs of a stream before a step: symbols to ids, features to arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral

import numpy as np

from ..common.arrays import AnyArray, Ids
from ..common.errors import UnknownSymbolError
from ..format.model_file import ModelFile
from ..format.tensor_specs import Features, checked_features


class InputEncoder:
    """Encodes the inputs of the streams of one model.

    Attributes:
        count: How many ids there are; 1 where the model reads features alone: each step is fed the id 0 then.
    """

    def __init__(self, file: ModelFile, who: str = "The stream") -> None:
        """Encode for the model in `file`; `who` is the subject of error messages."""
        self._who = who
        self.count = len(file.manifest.vocabulary) or 1
        self._vocabulary, self._has_symbols = file.manifest.vocabulary, len(file.manifest.vocabulary) > 0
        self._wanted, self._file_name = file.manifest.features, file.name

    def id_of(self, symbol: str | None) -> int:
        """Return the id of a symbol; of None too, where the model reads no symbols.

        Raises:
            UnknownSymbolError: It is not in the vocabulary.
        """
        if not self._has_symbols:
            if symbol is None:
                return 0
            names = ", ".join(feature.describe() for feature in self._wanted)
            raise UnknownSymbolError(
                f"{self._file_name} reads no symbols but {names}: call step(features=...). {self._who} has not moved."
            )
        try:
            return self._vocabulary.encode(symbol)  # type: ignore[arg-type]  # None is no symbol, and is told so
        except UnknownSymbolError as error:
            raise self._unknown(error) from None

    def ids_of(self, symbols: Iterable[str]) -> Ids:
        """Return the ids of symbols, int32 of shape (T,). Raises as `id_of` does."""
        try:
            return self._vocabulary.encode_all(symbols)
        except UnknownSymbolError as error:
            raise self._unknown(error) from None

    def features_of(self, features: Features | None, steps: tuple[int, ...] = ()) -> dict[str, AnyArray]:
        """Return `features` by name, each of shape (*steps, ...), of the dtypes that the model reads.

        Raises:
            FeatureMismatchError: They are not those that the model reads.
        """
        if features is None and not self._wanted:
            return {}
        return checked_features(features, self._wanted, self._file_name, steps)

    def of_many(self, symbols: Iterable[str] | None, features: Features | None) -> tuple[Ids, dict[str, AnyArray]]:
        """Return the inputs of T steps: ids, (T,), and features by name, (T, ...). Raises as the methods above do."""
        if symbols is None and not self._has_symbols:
            given = next(iter(features.values()), ()) if isinstance(features, Mapping) else features
            first = np.asarray(() if given is None else given)
            ids = np.zeros(len(first) if first.ndim else 0, np.int32)
        else:
            ids = self.ids_of(() if symbols is None else symbols)
        return ids, self.features_of(features, ids.shape)

    def _unknown(self, error: UnknownSymbolError) -> UnknownSymbolError:
        message = str(error).replace("the vocabulary (", f"the vocabulary of {self._file_name} (", 1)
        return UnknownSymbolError(f"{message} {self._who} has not moved.")


def require_ids(ids: Ids, count: int, consequence: str) -> None:
    """Raise UnknownSymbolError unless all of `ids`, one or more of them, are integers from 0 to `count` - 1."""
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        raise UnknownSymbolError(
            f"Ids are an array of integers of shape (T,), and these are {ids.dtype} of shape {ids.shape}. {consequence}"
        )
    if not 0 <= int(ids.min()) <= int(ids.max()) < count:
        raise no_id(int(ids[(ids < 0) | (ids >= count)][0]), count, consequence)


def no_id(id: int, count: int, consequence: str) -> UnknownSymbolError:
    """Return the error for an `id` that is not one of `count`; `consequence` ends its message."""
    shown = str(id) if isinstance(id, Integral) else repr(id)
    return UnknownSymbolError(f"Id {shown} is not one of 0 to {count - 1}. {consequence}")
