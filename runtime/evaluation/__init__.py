"""How good a model file is on data, on the device runtime, beside what is as good without a network.

from stepcell.runtime import load
from stepcell.runtime.evaluation import evaluate, read_material

model = load("build/log/model.tflite")
evaluation = evaluate(model, read_material(model.manifest, Path("log.csv")))
"""

from .dataset import Material, read_material
from .evaluation import Evaluation, evaluate
from .metrics import Judgement
from .modes import Passes
from .ngram import Baseline, NGram, baselines

__all__ = [
    "Baseline",
    "Evaluation",
    "Judgement",
    "Material",
    "NGram",
    "Passes",
    "baselines",
    "evaluate",
    "read_material",
]
