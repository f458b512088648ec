"""Compare the values of live rows with the answers of a model: those to the same row, or the forecasts made before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import InputError, OptionError
from ..data.columns import feature_of
from ..format.manifest import Manifest
from ..streams.prediction import Prediction
from ..tasks.residuals import ResidualThreshold

Pending = list[list[float]]  # forecasts of which the value has not come yet, the oldest first


class Residual(NamedTuple):
    """How far an answer was from the value that came.

    Attributes:
        residuals: For each value answer - right value; None: there is no answer to compare with, or no right value.
        alert: One of them is above the threshold of rows.
        alarm: One of them is above the threshold of sequences.
    """

    residuals: tuple[float, ...] | None = None
    alert: bool = False
    alarm: bool = False


class ResidualWatch:
    """Compares values with answers by a threshold of residuals.

    Attributes:
        columns: The columns of the right values.
        ahead: How many rows ahead of its row an answer is.
    """

    def __init__(self, manifest: Manifest, threshold: ResidualThreshold) -> None:
        """Watch a model of values.

        Raises:
            OptionError: The model answers with labels.
        """
        if manifest.output != "linear":
            raise OptionError(
                f"{manifest.name} answers with labels, and a live line does not have the right one: leave out "
                "--threshold. stepcell score --per-symbol compares answers with labels in a file."
            )
        self.columns, self.ahead = threshold.columns, manifest.trained_data.ahead
        self._threshold = threshold

    def parse(self, cells: Sequence[Any]) -> tuple[float, ...] | None:
        """Return the right values in cells of the columns; None: one is not there.

        Raises:
            InputError: One is no number.
        """
        if any(cell is None or cell == "" for cell in cells):
            return None
        try:
            return tuple(feature_of(cell, column) for cell, column in zip(cells, self.columns, strict=True))
        except ValueError as error:
            raise InputError(str(error)) from None

    def compare(
        self, right: tuple[float, ...] | None, prediction: Prediction | None, pending: Pending
    ) -> tuple[Residual, Pending]:
        """Return the residual of a row, and the forecasts that are pending after it.

        Args:
            right: The values of the row; None: they are not known.
            prediction: The answer to the row; None: there is none.
            pending: The forecasts that were pending before it.
        """
        own = [] if prediction is None else prediction.values.astype(np.float64).tolist()
        due = own
        if self.ahead:
            due = pending[0] if len(pending) == self.ahead else []
            pending = [*pending, own][-self.ahead :]
        if right is None or not due:
            return Residual(), pending
        residuals = tuple(answer - value for answer, value in zip(due, right, strict=True))
        above = self._threshold.is_alert(residuals), self._threshold.is_alarm(residuals)
        return Residual(residuals, any(above[0]), any(above[1])), pending
