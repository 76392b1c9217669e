"""
`python -I -S keyed.py FIFO VARIABLE PROGRAM ARGUMENT...`: become a program that reads its key from a descriptor.

The key comes from the FIFO, and is handed on in a pipe whose descriptor VARIABLE names: the program may open that
once more by its number, which with the FIFO itself would wait for ever. Stdlib only: it starts with every attempt.
"""

from __future__ import annotations

import os
import sys


def main(fifo: str, variable: str, program: str, *arguments: str) -> None:
    with open(fifo, "rb") as key:  # noqa: PTH123 - pathlib takes as long to import as all the rest
        content = key.read()
    ours, theirs = os.pipe()
    os.write(theirs, content)
    os.close(theirs)
    os.set_inheritable(ours, True)
    os.execve(program, [program, *arguments], {**os.environ, variable: str(ours)})  # noqa: S606 - the same pid


if __name__ == "__main__":
    main(*sys.argv[1:])
