"""Recipes of popular tutorials on recurrent memory, run as published: what was claimed, and what comes out.

    from stepcell.train.published import MemoryRecipe

    print(MemoryRecipe().run(seed=0))

Keras 3 asks for three changes, none of them to the arithmetic: the fixed batch size is given to `Input`, the state is
reset on the layer, and the chosen class is the largest output.
"""

from .alphabet import AlphabetWindow
from .alphabet_stateful import AlphabetStateful
from .alphabet_variable import AlphabetVariable
from .claims import CLAIMS, Claim
from .echo import EchoCurrent, EchoPrevious
from .memory import MemoryRecipe
from .outcome import Outcome, PublishedRecipe

__all__ = [
    "CLAIMS",
    "AlphabetStateful",
    "AlphabetVariable",
    "AlphabetWindow",
    "Claim",
    "EchoCurrent",
    "EchoPrevious",
    "MemoryRecipe",
    "Outcome",
    "PublishedRecipe",
]
