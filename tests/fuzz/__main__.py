"""`make fuzz`: coverage-guided fuzzing with atheris. `python -m tests.fuzz TARGET` fuzzes one target in this process.

Inputs that reached new code are kept in tests/fuzz/corpus; findings are written to .build/fuzz/findings.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
_BUILD = Path(__file__).parents[2] / ".build" / "fuzz"
_SHARES = {"message": 20, "s3_events": 8, "envelopes": 12, "lines": 30, "response": 25, "endpoint": 5}  # of 100 runs


def fuzz(target: str, runs: int) -> None:
    """Fuzz `target` with `runs` inputs. Ends the process, with exit code 77 after a finding."""
    import atheris

    with atheris.instrument_imports(include=["sluice", "local.endpoint"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS

    new_corpus = _BUILD / "corpus" / target
    for folder in (new_corpus, _BUILD / "findings", CORPUS / target):
        folder.mkdir(parents=True, exist_ok=True)
    findings = f"-artifact_prefix={_BUILD}/findings/{target}-"
    options = [f"-runs={runs}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", findings]
    atheris.Setup(
        [sys.argv[0], str(new_corpus), str(CORPUS / target), *options], lambda data: TARGETS[target](data) and None
    )
    atheris.Fuzz()


def main(arguments: list[str] | None = None) -> int:
    """Fuzz the targets one after another, and print a line for each. Return 1 if there is a finding, otherwise 0."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", choices=_SHARES, help="fuzz only this target, in this process")
    parser.add_argument("--runs", type=int, default=500_000, help="total number of inputs")
    given = parser.parse_args(arguments)
    if given.target:
        fuzz(given.target, given.runs)
    failed = []
    for target, share in _SHARES.items():
        runs, started = given.runs * share // 100, time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", target, "--runs", str(runs)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        counts = f"{runs:>8,} inputs in {time.monotonic() - started:4.0f} s"
        print(f"{target:<10} {counts}   {'no finding' if done.returncode == 0 else 'FINDING'}")
        if done.returncode:
            failed.append(target)
            print(done.stderr[-4000:])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
