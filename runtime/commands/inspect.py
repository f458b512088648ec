"""The command `stepcell inspect`."""

from __future__ import annotations

import json

from .options import AsJson, ModelFile


def inspect(file: ModelFile, as_json: AsJson = False) -> None:
    """Verify a model file and show its manifest. No interpreter is needed.

    Example: stepcell inspect build/memory/model.tflite
    """
    from .. import read_model_file
    from ..format.describe import describe_manifest

    manifest = read_model_file(file).manifest
    if as_json:
        print(json.dumps(manifest.to_json(), ensure_ascii=False, indent=2))
    else:
        print(describe_manifest(file, manifest))
