"""Start-up: CPU-seconds of whole processes, each started afresh, in turns; medians of five."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import harness, images
from bench.harness import Contender, Target

MODULE = "bench.startup"
COST = "cpu_seconds"


def cpu_seconds(command: list[str]) -> float:
    """Run a command and return the CPU-seconds of its process and of those it waited for."""
    process = subprocess.Popen(
        command, cwd=harness.ROOT, env=os.environ | harness.ONE_THREAD, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def commands(model: Path) -> dict[str, list[str]]:
    """Return what is started, by label."""
    python = sys.executable
    return {
        "python -c pass": [python, "-c", "pass"],
        "import torch": [python, "-c", "import torch"],
        "import latentia": [python, "-c", "import latentia"],
        "import torch; import latentia": [python, "-c", "import torch; import latentia"],
        "import latentia; latentia.VAE()": [python, "-c", "import latentia; latentia.VAE()"],
        "latentia --help": [python, "-m", "latentia", "--help"],
        "latentia info MODEL": [python, "-m", "latentia", "info", str(model)],
    }


def main() -> None:
    """Run the turns and publish the table."""
    arguments = harness.parser(__doc__, turns=5).parse_args()
    import latentia as lt

    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model"
        lt.VAE(max_epochs=1, random_state=0).fit(images.binary(500)).save(model)
        started = commands(model)
        rows = [Contender(label, f"`{label}`") for label in started]
        for command in started.values():
            cpu_seconds(command)  # compiled files and disk caches are warm for all
        for _ in range(arguments.turns):
            for row in rows:
                row.results.append({COST: cpu_seconds(started[row.name])})
    cost = {row.name: row.median(COST) for row in rows}
    over = cost["import torch; import latentia"] - cost["import torch"]
    met = [
        Target("`import latentia` on top of `import torch`", over, 0.2, at_least=False, unit="s"),
        Target("`latentia --help`", cost["latentia --help"], 0.4, at_least=False, unit="s"),
    ]
    body = [
        f"CPU-seconds of whole processes; medians of {arguments.turns} turns, ± half the range.",
        "",
        *harness.table(
            ["process", "CPU-s", "±"],
            [[row.label, f"{cost[row.name]:.2f}", f"{row.spread(COST):.0%}"] for row in rows],
        ),
        *harness.target_table(met),
    ]
    harness.publish("startup", "Start-up", harness.shown_command(MODULE), body, harness.to_json(rows, met))


if __name__ == "__main__":
    main()
