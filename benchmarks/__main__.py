"""`python -m benchmarks NAME OPTIONS` runs one of the benchmarks."""

import sys

from benchmarks import compile, eager, seeing

BENCHMARKS = {"eager": eager.main, "compile": compile.main, "seeing": seeing.main}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        sys.exit(f"usage: python -m benchmarks {{{','.join(BENCHMARKS)}}} [OPTIONS]")
    sys.exit(BENCHMARKS[sys.argv[1]](sys.argv[2:]))
