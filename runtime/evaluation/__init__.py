"""Evaluate a model file on data with the device runtime, compared with n-gram baselines.

from stepcell.runtime import load
from stepcell.runtime.evaluation import evaluate, read_evaluation_data

model = load("build/log/model.tflite")
evaluation = evaluate(model, read_evaluation_data(model.manifest, Path("log.csv")))
"""

from .dataset import EvaluationData, read_evaluation_data
from .evaluation import Evaluation, evaluate
from .metrics import SymbolScores
from .modes import EvaluationModes
from .ngram import Baseline, NGram, baselines

__all__ = [
    "Baseline",
    "Evaluation",
    "EvaluationData",
    "EvaluationModes",
    "NGram",
    "SymbolScores",
    "baselines",
    "evaluate",
    "read_evaluation_data",
]
