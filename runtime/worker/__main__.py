"""The runtime as a program, for callers that want it in a process of its own.

`python -m stepcell.runtime` steps a file without TensorFlow in the process, as on a device, and without taking the
caller down if an interpreter crashes. People use the command `stepcell`; this serves the exporter and the doctor.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..common.atomic_write import atomic_write
from ..common.errors import StepcellError
from ..format.model_file import TFLITE, read_model_file
from ..interpreters.golden import replay_golden
from ..interpreters.probe import probe_backends
from ..interpreters.registry import NUMPY, open_any_file, open_backend, open_public_backend
from ..streams.model import load
from .measure import measure
from .messages import RunSpec
from .trace import trace_all

SPEC_SUFFIX, RESULT_SUFFIX = ".course", ".trajectory"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stepcell.runtime.worker", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("probe", help="print which interpreters work here, as JSON: name to null or the reason")
    replay_parser = commands.add_parser(
        "replay", help="replay the golden sequence of a file in every way to load it; print how far off it was"
    )
    trace_parser = commands.add_parser("trace", help="step a file and write down everything it answers")
    measure_parser = commands.add_parser("measure", help="load a file, replay its golden sequence and time its steps")
    open_parser = commands.add_parser("open", help="load any file, whoever made it, and step nothing")
    for parser_with_model in (replay_parser, trace_parser, measure_parser, open_parser):
        parser_with_model.add_argument("model", type=Path, help="model file")
        parser_with_model.add_argument("backend", help="backend to step it on")
    trace_parser.add_argument("folder", type=Path, help="has a NAME.course, gets a NAME.trajectory for each")
    return parser


def main() -> int:
    """Do what the command line says; an error goes to stderr as its message alone."""
    arguments = _parser().parse_args()
    try:
        if arguments.command == "probe":
            print(json.dumps(probe_backends()))
        elif arguments.command == "replay":
            file = read_model_file(arguments.model)
            ways = [open_backend(arguments.backend, file)]
            if file.format == TFLITE and arguments.backend != NUMPY:
                ways.append(open_public_backend(arguments.backend, file))
            print(max(replay_golden(way, file, arguments.backend) for way in ways))
        elif arguments.command == "measure":
            print(json.dumps(measure(arguments.model, arguments.backend)))
        elif arguments.command == "open":
            open_any_file(arguments.backend, arguments.model.read_bytes(), arguments.model.name)
        else:
            model = load(arguments.model, backend=arguments.backend, golden=False)
            sources = sorted(arguments.folder.glob("*" + SPEC_SUFFIX))
            courses = {source.name.removesuffix(SPEC_SUFFIX): RunSpec.from_file(source) for source in sources}
            for name, trajectory in trace_all(model, courses).items():
                atomic_write(arguments.folder / (name + RESULT_SUFFIX), trajectory.to_bytes())
    except StepcellError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
