"""Evaluate a model file on data with the device runtime, compared with n-gram baselines.

from stepcell.runtime import load
from stepcell.runtime.evaluation import evaluate, read_evaluation_data

model = load("build/log/model.tflite")
evaluation = evaluate(model, read_evaluation_data(model.manifest, Path("log.csv")))

Models of labels and of values are evaluated on rows with their right answers: `read_target_data`, then
`evaluate_labels` or `evaluate_values`.
"""

from .dataset import EvaluationData, read_evaluation_data
from .evaluation import Evaluation, evaluate
from .labels import evaluate_labels
from .metrics import SymbolScores
from .modes import EvaluationModes
from .ngram import Baseline, NGram, baselines
from .targets import TargetData, has_targets, read_target_data
from .values import ValueErrors, ValueEvaluation, evaluate_values

__all__ = [
    "Baseline",
    "Evaluation",
    "EvaluationData",
    "EvaluationModes",
    "NGram",
    "SymbolScores",
    "TargetData",
    "ValueErrors",
    "ValueEvaluation",
    "baselines",
    "evaluate",
    "evaluate_labels",
    "evaluate_values",
    "has_targets",
    "read_evaluation_data",
    "read_target_data",
]
