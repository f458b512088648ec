"""Install the service of the Raspberry Pi guide under a real systemd, in a container, and let it fail.

    sudo python benchmarks/serve/under_systemd.py                 # about 40 s
    sudo python benchmarks/serve/under_systemd.py --backend numpy

The container has the files of this machine below a layer that is thrown away, a network of its own, and boots systemd.
The commands of docs/raspberry-pi.md run in it; in place of what pip would bring there are the packages of this Python,
for the python3 of the system, which has to be of the same version. Then the unit is
started, its loop is stopped (the watchdog has to end it), it is killed, reloaded, and given a wrong option. The exit
code is 1 if something is not as the guide says.

It needs Linux, root and systemd-nspawn (Debian: systemd-container), and says so where one is missing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST = 120  # seconds
UNIT = """[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/trial/run.sh
"""
# Writes a line "name: value" for each finding.
SCRIPT = r"""#!/bin/bash
exec 3> /trial/found > /trial/log 2>&1
set -x
say() { echo "$1: $2" >&3; }
show() { systemctl show -p "$1" --value stepcell; }
step() { curl -s -m 20 -X POST 127.0.0.1:8080/v1/streams/press/step -d "{\"seq\": $1, \"symbol\": \"$2\"}" |
    sed 's/.*"symbol": "\([^"]*\)".*/\1/'; }
ip link set lo up
mkdir -p /trial-checkout/build/memory /etc/systemd/system/stepcell.service.d
cp -r @ROOT@/examples /trial-checkout
cp @ROOT@/tests/data/memory.tflite /trial-checkout/build/memory/model.tflite
printf '[Service]\nWatchdogSec=6\n' > /etc/systemd/system/stepcell.service.d/quick.conf
cd /trial-checkout
printf '#!/bin/sh\nexec "$@"\n' > /usr/local/bin/sudo; chmod 755 /usr/local/bin/sudo
( set -e
@GUIDE@
); say guide $?
say active "$(show ActiveState)"
say answers "$(step 1 4) $(step 2 0)"
pid=$(show MainPID)
say rights "$(grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/$pid/status | tr -d '\t' | tr '\n' ' ')"
say root "$([ "$(stat -c %u /proc/$pid)" = 0 ] && echo yes || echo no)"
systemctl reload stepcell; sleep 2
say reload "$(show ActiveState) $([ "$(show MainPID)" = "$pid" ] && echo same || echo other)"
[ "$pid" -gt 0 ] && kill -STOP "$pid"; sleep 14
say watchdog "$(show ActiveState) $(show NRestarts)"
say after-hang "$(step 3 1)"
pid=$(show MainPID); [ "$pid" -gt 0 ] && kill -KILL "$pid"; sleep 8
say after-kill "$(step 4 2)"
row=$(/opt/stepcell/bin/stepcell store show /var/lib/stepcell/state.db | sed -n 2p | tr -s ' ')
say store "$(echo "$row" | cut -d ' ' -f 1-3)"
systemctl stop stepcell
say stop "$(show ActiveState) $(show Result)"
echo 'on_gap = "reset"' >> /etc/stepcell/serve.toml
systemctl start stepcell; sleep 5
say wrong-option "$(show ActiveState) $(show NRestarts) $(show ExecMainStatus)"
journalctl -u stepcell --no-pager
systemctl poweroff
"""
EXPECTED = {
    "guide": "0", "active": "active", "answers": "0 1", "rights": "CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2",
    "root": "no", "reload": "active same", "watchdog": "active 1", "after-hang": "2", "after-kill": "4",
    "store": "press 4 5", "stop": "inactive success", "wrong-option": "failed 0 2",
}  # fmt: skip


def guide(backend: str) -> str:
    """Return the commands of the guide, with what stands in this machine in place of what pip would bring."""
    page = (ROOT / "docs/raspberry-pi.md").read_text()
    (code,) = (one for one in re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if "enable --now" in one)
    paths = "\\n".join([str(Path(os.environ["PYTHONPATH"])), *(path for path in sys.path if "-packages" in path)])
    command = "#!/opt/stepcell/bin/python\\nfrom stepcell.cli import main\\nmain()\\n"
    instead = (
        f"printf '{paths}\\n' > $(echo /opt/stepcell/lib/python3*/site-packages)/others.pth\n"
        f"printf '{command}' > /opt/stepcell/bin/stepcell; chmod 755 /opt/stepcell/bin/stepcell"
    )
    code = code.replace("sudo /opt/stepcell/bin/pip install '.[tflite,serve]'", instead)
    code = code.replace("python3 -m venv", "python3 -m venv --without-pip")
    set_backend = f"echo 'backend = \"{backend}\"' >> /etc/stepcell/serve.toml\n"
    return code.replace("sudo systemctl daemon-reload", f"{set_backend}sudo systemctl daemon-reload")


def boot(folder: Path, root: Path) -> None:
    """Boot systemd in a container that ends by itself."""
    command = [
        "systemd-nspawn", f"--directory={root}", "--volatile=overlay", "--register=no", "--keep-unit",
        "--private-network", f"--bind={folder}:/trial",
        f"--bind-ro={folder}/trial.service:/run/systemd/system/trial.service",
        "--boot", "systemd.unit=basic.target", "systemd.wants=trial.service",
    ]  # fmt: skip
    environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=MOST)


def main() -> None:
    """Run the trial, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="litert", help="interpreter that steps the model")
    parser.add_argument("--log", action="store_true", help="print what the commands in the container have said")
    arguments = parser.parse_args()
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        print("not run: it needs Linux, root and systemd-nspawn (apt-get install systemd-container)")
        return
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name) / "trial", Path(name) / "root"
        folder.mkdir()
        root.mkdir()
        script = SCRIPT.replace("@ROOT@", str(ROOT)).replace("@GUIDE@", guide(arguments.backend))
        for file, content in (("run.sh", script), ("trial.service", UNIT)):
            (folder / file).write_text(content)
            (folder / file).chmod(0o755)
        subprocess.run(["mount", "--bind", "/", root], check=True)
        try:
            boot(folder, root)
        finally:
            subprocess.run(["umount", root], check=True)
        if arguments.log:
            print((folder / "log").read_text() if (folder / "log").exists() else "it has not booted")
        lines = (folder / "found").read_text().splitlines() if (folder / "found").exists() else []
    found = {name: value.strip() for name, _, value in (line.partition(": ") for line in lines)}
    for name, expected in EXPECTED.items():
        right = found.get(name) == expected
        print(f"{name:13}  {'right' if right else 'WRONG'}  {found.get(name, 'nothing')}")
    if found != EXPECTED:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
