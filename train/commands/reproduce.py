"""The command `stepcell reproduce`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from ...runtime.commands.options import AsJson, argument, output, training


def reproduce(
    names: Annotated[list[str] | None, argument("Systems or groups of systems, see --list.", "all systems")] = None,
    seeds: Annotated[int, training("Number of trainings of each system.", min=1)] = 3,
    out: Annotated[Path, output("Folder for the results; a system with results there is not trained again.")] = Path(
        "runs/reproduce"
    ),
    show_list: Annotated[bool, output("Show the systems and train nothing.", flag="--list")] = False,
    as_json: AsJson = False,
) -> None:
    """Train published recurrent systems with the published recipe and with stepcell's own; compare with the claims.

    One system takes minutes, all of them hours. Ctrl-C keeps the results; the same command continues.

    Example: stepcell reproduce memory --seeds 1
    """
    from ...runtime.common.atomic_write import make_folder
    from ...runtime.common.lock import FolderLock
    from ...runtime.common.terminal import import_silently, print_table, status
    from ..reproduce import TITLES, Reproduction, find_systems, table, write_report
    from ..reproduce import as_json as results_as_json

    chosen = find_systems(names or ())
    if show_list:
        print_table(["system", "group", "what is learned"], [[one.name, one.group, one.about] for one in chosen])
        return
    make_folder(out)
    lock = FolderLock(out, "reproduction")
    reproduction = Reproduction(out)
    import_silently("tensorflow")
    interrupted = False
    try:
        with lock, status() as progress:
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
