"""Whether data hold the features that a model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CorpusError

if TYPE_CHECKING:
    from ..manifest import Manifest


def required_features(
    manifest: Manifest, given: Sequence[str], end: str | None, boundary: Any
) -> dict[str, Sequence[float]]:
    """Return name of a feature -> its numbers beside the end symbol, shape (1,); none where there is no such symbol.

    Args:
        manifest: That of the model.
        given: Names of the features that are read from the data.
        end: The end symbol; None: there is none.
        boundary: What the model file says about the numbers beside it.

    Raises:
        CorpusError: The model reads others, or nothing says what they are beside the end symbol.
    """
    wanted = {feature.name for feature in manifest.features}
    problems = [
        f"{feature.name} is no single number"
        for feature in manifest.features
        if feature.shape != (1,) or feature.ids is not None
    ]
    problems += [f"no column is named for {name}" for name in sorted(wanted - set(given))]
    problems += [f"there is no {name}" for name in given if name not in wanted]
    known = boundary if isinstance(boundary, Mapping) else {}
    if end is not None and not problems:
        problems += [f"nothing says what {name} is beside {end!r}" for name in given if not _is_row(known.get(name))]
    if problems:
        described = ", ".join(feature.describe() for feature in manifest.features) or "no features"
        raise CorpusError(
            f"{manifest.name} reads {described} at each step: {'; '.join(problems)}. Where its training has named no "
            "columns, or the data are no table as then, stepcell evaluate takes --feature NAME=COLUMN; --end '' is for "
            "sequences without an end symbol."
        )
    return {} if end is None else {name: known[name] for name in given}


def _is_row(found: Any) -> bool:
    """Tell whether it is what one feature is in a step: a list of one number."""
    return isinstance(found, list) and len(found) == 1 and type(found[0]) in (int, float)
