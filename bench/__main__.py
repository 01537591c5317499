"""Run all benchmarks, each as its own command, which is what it writes into docs/benchmarks.md."""

from __future__ import annotations

import subprocess
import sys

from bench import harness

MODULES = ("bench.startup", "bench.train", "bench.log_likelihood", "bench.throughput", "bench.posteriors", "bench.ais")
RIVALS = ("bench.train", "bench.log_likelihood")


def main() -> int:
    """Return the first exit code that is not 0, after running everything."""
    parser = harness.parser(__doc__, turns=5)
    arguments = parser.parse_args()
    code = 0
    for module in MODULES:
        command = [sys.executable, "-m", module, "--turns", str(arguments.turns)]
        if arguments.pythae_python is not None and module in RIVALS:
            command += ["--pythae-python", arguments.pythae_python]
        print(f"== {module}", file=sys.stderr, flush=True)
        code = code or subprocess.run(command, cwd=harness.ROOT, check=False).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
