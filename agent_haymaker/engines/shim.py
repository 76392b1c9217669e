"""
The shim: one small process per HAYMAKER_HOME, parent of all its agents. Run as a program:

    python -I -S shim.py HOME_ENGINES_LOCAL [FOLDER_OF_PSUTIL]

It puts its package together by hand, since the package's own `__init__` modules load more than it needs, and
imports everything at once, so that an upgrade of haymaker under a running shim changes nothing for it.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Become the shim of the folder in argv."""
    from os.path import abspath, dirname
    from types import ModuleType

    engines = dirname(abspath(__file__))
    for name, folder in (("agent_haymaker", dirname(engines)), ("agent_haymaker.engines", engines)):
        package = ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package
    sys.path.remove(engines) if engines in sys.path else None
    sys.path.extend(sys.argv[2:3])
    if sys.platform != "linux":
        import psutil  # noqa: F401 - so that it is there when the disk no longer is

    from agent_haymaker.engines import shim_server

    shim_server.run(sys.argv[1])


if __name__ == "__main__":
    main()
