"""The command `stepcell reproduce`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Systems or groups of them, see --list; by default all.", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds of each training.")] = 3,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the results; what stands there is not measured again.")
    ] = Path("runs/reproduce"),
    show_list: Annotated[bool, typer.Option("--list", help="Show the systems and train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train published systems with recurrent memory as published and the way of stepcell; compare with the claims.

    Everything takes hours, one system minutes. Ctrl-C keeps what was measured, and the same command goes on.
    """
    from ...runtime.common.terminal import import_silently

    import_silently("tensorflow")
    from ...runtime.common.terminal import print_table, status
    from ..reproduce.comparison import TITLES, Reproduction, table, write_report
    from ..reproduce.comparison import as_json as results_as_json
    from ..reproduce.comparison import systems as find_systems

    chosen = find_systems(names or ())
    if show_list:
        print_table(["system", "group", "what is learned"], [[one.name, one.group, one.about] for one in chosen])
        return
    reproduction = Reproduction(out)
    interrupted = False
    try:
        with status() as progress:
            reproduction.run(chosen, seeds, lambda what, share: progress(f"{what}: {100 * share:.0f} %"))
    except KeyboardInterrupt:
        interrupted = True
    files = write_report(out, reproduction, chosen)
    if as_json:
        print(json.dumps(results_as_json(reproduction, chosen)))
    else:
        for group in TITLES:
            header, rows = table(reproduction, chosen, group)
            if rows:
                print_table(header, rows)
                print()
        print(f"written to {', '.join(map(str, files))}")
    if interrupted:
        raise SystemExit(130)
