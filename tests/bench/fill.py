"""`python -m tests.bench.fill MODULE SIZES`: store the corpus with a peer's own code, in a process of its own.

Not the peer's module run as a program: what it stores may hold the module's name, which must not be `__main__`.
"""

import sys
from importlib import import_module

from tests.bench import corpus


def main() -> None:
    """Call the module's `fill`."""
    module, sizes = sys.argv[1:]
    import_module(module).fill(corpus.decode(sizes))


if __name__ == "__main__":
    main()
