"""The command `stepcell`: its list of commands, how errors are shown, and `demo`.

A command is imported when it is called, and imports what it needs when it runs. Results go to stdout, everything else
to stderr. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import io
import os
import sys
from functools import partial
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
    from typer.core import TyperGroup
except ModuleNotFoundError as missing:
    sys.exit(
        f"The command stepcell needs the package {missing.name}. Install it: pip install 'stepcell[cli]'; with an "
        "interpreter for .tflite files: pip install 'stepcell[tflite]'"
    )

from stepcell.runtime.commands.options import Seed, Steps, output
from stepcell.runtime.common.exit_codes import explain_error
from stepcell.runtime.common.printable import printable

_MAKE, _JUDGE, _USE = "Make model files", "Evaluate model files", "Use model files on the device"
_COMMANDS = {  # name -> (panel of the help, module that has it under this name), in the order of the help
    "train": (_MAKE, "train.commands.train"),
    "export": (_MAKE, "export.commands.export"),
    "adopt": (_MAKE, "export.commands.adopt"),
    "c": (_MAKE, "export.commands.c"),
    "reproduce": (_MAKE, "train.commands.reproduce"),
    "demo": (_MAKE, "cli"),
    "check": (_JUDGE, "export.commands.export"),
    "evaluate": (_JUDGE, "runtime.commands.evaluate"),
    "score": (_JUDGE, "runtime.commands.score"),
    "calibrate": (_JUDGE, "runtime.commands.score"),
    "bench": (_JUDGE, "export.commands.bench"),
    "predict": (_USE, "runtime.commands.predict"),
    "serve": (_USE, "runtime.commands.serve"),
    "generate": (_USE, "runtime.commands.generate"),
    "store": (_USE, "runtime.commands.store"),
    "inspect": (_USE, "runtime.commands.doctor"),
    "card": (_USE, "runtime.commands.card"),
    "doctor": (_USE, "runtime.commands.doctor"),
}


class _Commands(TyperGroup):
    """Imports commands when they are asked for, and shows an error as its message, without a traceback."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return a command; after an unknown name all are imported, for "Did you mean ..."."""
        for one in [name] if name in _COMMANDS else _COMMANDS:
            if one not in self.commands:
                self.commands[one] = _load(one)
        return self.commands.get(name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8")
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort):
            raise SystemExit(130) from None
        except BrokenPipeError:  # the reader of the answers has ended
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except Exception as error:
            shown = explain_error(error, "train" if ctx.invoked_subcommand in ("train", "reproduce") else "export")
            if shown is None:
                raise
            typer.echo(printable(shown[0]), err=True)
            raise SystemExit(shown[1]) from None


def _load(name: str) -> Any:
    panel, module = _COMMANDS[name]
    found = getattr(import_module(f"stepcell.{module}"), name)
    group = found if isinstance(found, typer.Typer) else typer.Typer(add_completion=False)
    if group is not found:
        group.command(name)(found)
    command: Any = typer.main.get_command(group)
    command.name, command.rich_help_panel = name, panel
    # Typer keeps the line breaks of a docstring; as paragraphs they fill the terminal.
    for one in (command, *getattr(command, "commands", {}).values()):
        one.help = "\n\n".join(" ".join(part.split()) for part in cleandoc(one.help).split("\n\n"))
        one.parse_args = partial(_parse_args, one, one.parse_args)
    return command


def _parse_args(command: Any, parse: Any, ctx: Any, args: list[str]) -> Any:
    """Parse a command line; an option that takes one value and is given several times would lose all but the last."""
    before = args[: args.index("--")] if "--" in args else args
    names = [arg.partition("=")[0] for arg in before if arg.startswith("--")]
    for option in command.params:
        is_single = option.param_type_name == "option" and not (option.multiple or option.is_flag or option.count)
        times = sum(names.count(name) for name in option.opts) if is_single else 0
        if times > 1:
            raise typer.BadParameter(f"it is given {times} times and takes one value.", ctx=ctx, param=option)
    return parse(ctx, args)


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        from stepcell import __version__

        print(f"stepcell {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option(
        "--version", help="Show the version and exit.", callback=_show_version, is_eager=True)] = False,
) -> None:  # fmt: skip
    """Train, export and step recurrent models one symbol at a time, with explicit state.

    For event logs, text, time series, classification, forecasting and anomaly detection.

    Example: stepcell demo
    """


def demo(
    out: Annotated[Path, output("Folder for the model files.")] = Path("build/memory"),
    run: Annotated[Path, output("Folder for the training run.")] = Path("runs/demo"),
    page: Annotated[Path | None, output("Write a page (.html) that shows the network and this run.", "none")] = None,
    open_page: Annotated[bool, output(
        "Open the page in a browser; without --page it is demo.html in --out.", flag="--open")] = False,
    seed: Seed = 7,
    steps: Steps = 10_000,
) -> None:  # fmt: skip
    """Train the memory problem, export it, check it, and step both sequences on every interpreter installed here.

    Example: stepcell demo --page demo.html --open
    """
    # Here, because only this module may import both train and export.
    from stepcell.runtime.common.atomic_write import atomic_write, check_file, check_folder
    from stepcell.runtime.common.terminal import print_table, print_text, status
    from stepcell.train import Memory
    from stepcell.train.commands.train import train_problem

    check_folder(out)
    if page is None and open_page:
        page = out / "demo.html"
    if page is not None and page.absolute().parent != out.absolute():  # which the export makes
        check_file(page)
    train_problem(Memory.conflicting, run, units=20, seed=seed)
    from stepcell.export import export, parity_table, read_source
    from stepcell.export.model_files import available_formats
    from stepcell.export.parity.report import answers_table

    source = read_source(run)
    with status() as progress:
        exported = export(
            source.model, out, vocabulary=source.vocabulary, name="memory", formats=available_formats(),
            training=source.training, steps=steps, progress=progress,
        )  # fmt: skip
    print()
    print_table(*parity_table(exported.parity))
    print()
    sequences = Memory.conflicting().sequences
    print_table(*answers_table(exported.files[:-1], sequences))
    if page is None:
        return
    from stepcell.export.web.demo_page import demo_page, read_figures
    from stepcell.runtime import read_model_file

    text = demo_page(read_model_file(exported.files[0]), sequences, read_figures(run, out / "parity.json"))
    atomic_write(page, text.encode())
    print()
    print_text(f"page written to {page}")
    if open_page:
        import webbrowser

        if not webbrowser.open(page.resolve().as_uri()):
            print_text(f"No browser could be opened here. Open {page.resolve()} in one.")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
