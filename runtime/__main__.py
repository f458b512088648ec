"""The runtime as a program, for callers that want it in a process of its own.

`python -m stepcell.runtime` steps a file without TensorFlow in the process, as on a device, and without taking the
caller down if an interpreter crashes. People use the command `stepcell`; this serves the exporter.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from .backend import probe_backends
from .errors import StepcellError
from .model import load
from .trace import STATE_PREFIX, trace, trace_each
from .whole_file import write_whole_file


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stepcell.runtime", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("probe", help="print which interpreters work here, as JSON: name to null or the reason")
    replay_parser = commands.add_parser("replay", help="load a file, which replays its golden sequence")
    trace_parser = commands.add_parser("trace", help="step a file and write down everything it answers")
    for parser_with_model in (replay_parser, trace_parser):
        parser_with_model.add_argument("model", type=Path, help="model file")
        parser_with_model.add_argument("backend", help="backend to step it on")
    trace_parser.add_argument("input", type=Path, help=".npz with `ids` (T,) and the state before as state/NAME")
    trace_parser.add_argument("output", type=Path, help=".npz to write the trajectory to")
    trace_parser.add_argument("--each", action="store_true", help="each step from a state of its own")
    return parser


def main() -> int:
    """Do what the command line says; an error goes to stderr as its message alone."""
    arguments = _parser().parse_args()
    try:
        if arguments.command == "probe":
            print(json.dumps(probe_backends()))
        elif arguments.command == "replay":
            load(arguments.model, backend=arguments.backend)
        else:
            with np.load(arguments.input) as archive:
                ids = archive["ids"]
                states = [name for name in archive.files if name.startswith(STATE_PREFIX)]
                state = {name.removeprefix(STATE_PREFIX): archive[name] for name in states}
            run = trace_each if arguments.each else trace
            trajectory = run(arguments.model, ids, state, arguments.backend)
            write_whole_file(arguments.output, trajectory.to_bytes())
    except StepcellError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
