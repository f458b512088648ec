"""The kinds of files that commands read beside model files: a valid one of each, a reading, and how it is judged.

A trial reads the file with the code of the commands. It ends in one of stepcell's own errors, or in a reading that an
independent reader confirms: Python's own csv and json modules, numpy and pyarrow, from the same bytes. Files with a
checksum (stores, checkpoints) give the numbers that were written, or an error.
"""

from __future__ import annotations

import fuzz_data
import fuzz_hidden
import fuzz_keras2
import fuzz_predict
import fuzz_settings
from fuzz_kind import Kind

KINDS: dict[str, Kind] = {
    **fuzz_settings.KINDS, **fuzz_data.KINDS, **fuzz_predict.KINDS, **fuzz_hidden.KINDS, **fuzz_keras2.KINDS,
}  # fmt: skip
