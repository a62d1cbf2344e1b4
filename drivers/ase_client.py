"""The driver of an ASE calculator, for any Python that has ase: ``python ase_client.py``.

Calculators have dependencies of their own, which often contradict each other. So this file runs
as a script in an environment without mixpi, i-PI and torch. Of mixpi it loads only the modules
that it needs, from where it lies itself, under another name: what a calculator imports as mixpi
is none of them.
"""

from __future__ import annotations

import sys


#: Of the Python that runs it.
OLDEST = (3, 10)


def start() -> int:
    """Load the few modules of mixpi that are needed, and hand on to them.

    Returns
    -------
    int
        Exit code.
    """
    import os

    here = os.path.dirname(os.path.abspath(__file__))
    # beside this file lie a mace.py and others that are not what a calculator imports
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != here]
    label = f"ase: error: the Python {sys.executable}"
    if sys.version_info < OLDEST:
        found, needed = (".".join(map(str, v[:2])) for v in (sys.version_info, OLDEST))
        sys.exit(f"{label} is of version {found}; {needed} is needed")
    from importlib import import_module
    from types import ModuleType

    try:
        import_module("ase.calculators.socketio")
    except ImportError as error:
        sys.exit(
            f"{label} has no {error.name or 'ase'} ({error}): install ase and the calculator there "
            f"({sys.executable} -m pip install ase)"
        )
    above = os.path.dirname(here)
    installed = os.path.isfile(os.path.join(above, "errors.py"))
    root = above if installed else os.path.join(above, "mixing")
    for name, place in (("_mixpi", root), ("_mixpi.drivers", here)):
        package = ModuleType(name)
        package.__path__ = [place]
        sys.modules[name] = package
    return import_module("_mixpi.drivers.ase_main").main()


if __name__ == "__main__":
    sys.exit(start())
