"""Layers that turn words into ids before an embedding: in a step function they are the vocabulary of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np

from ...runtime.common.arrays import AnyArray

KerasLayer: TypeAlias = Any
_L = keras.layers
_MASK = "[MASK]"  # a symbol is not empty, and the word of masked steps is
UNKNOWN = "[UNK]"


@dataclass(frozen=True)
class Words:
    """The words that an input reads in Keras.

    Attributes:
        symbols: The words by id.
        unknown: The one for every word that is not listed; None: such words are refused.
        layer: The layer that turns them into ids.
    """

    symbols: tuple[str, ...]
    unknown: str | None
    layer: KerasLayer

    def as_given(self, ids: AnyArray) -> Any:
        """Return what the layer reads for ids (B, T): words, whole numbers, or texts."""
        words = self.layer.get_vocabulary()
        if type(self.layer) is _L.TextVectorization:
            texts = [" ".join(words[id] for id in row) for row in ids.tolist()]
            return keras.ops.convert_to_tensor(np.array(texts)[:, None], dtype="string")
        given = np.array(words)[ids]
        return keras.ops.convert_to_tensor(given, dtype="string" if given.dtype.kind in "US" else "int64")

    @property
    def readable(self) -> Sequence[int]:
        """Ids of the words that a text can have: neither that of masked steps nor the unknown one."""
        return [id for id, symbol in enumerate(self.symbols) if symbol not in (_MASK, UNKNOWN)]


def words_of(layer: KerasLayer) -> Words | None:
    """Return the words of a layer that looks ids up, or None if it is none or does more than that."""
    if type(layer) not in (_L.StringLookup, _L.IntegerLookup, _L.TextVectorization):
        return None
    mode = getattr(layer, "output_mode", getattr(layer, "_output_mode", None))
    if mode != "int" or getattr(layer, "invert", False) or getattr(layer, "num_oov_indices", 1) > 1:
        return None
    if type(layer) is _L.TextVectorization and getattr(layer, "_output_sequence_length", None):
        return None  # it pads and cuts: another sequence
    words = layer.get_vocabulary()
    if type(layer) is _L.IntegerLookup:
        mask, unknown = getattr(layer, "mask_token", None), layer.oov_token
        symbols = [_MASK if mask is not None and word == mask else str(word) for word in words]
        return Words(tuple(symbols), str(unknown) if str(unknown) in symbols else None, layer)
    symbols = [_MASK if word == "" else str(word) for word in words]
    return Words(tuple(symbols), UNKNOWN if UNKNOWN in symbols else None, layer)
