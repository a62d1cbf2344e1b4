"""The working folder, which is that of the whole process, changed by one thread while others write.

LAMMPS finds the files that its input names in the working folder, and mangles longer names. Within
i-PI's process it is started by another thread than that which writes i-PI's files, whose names
have no folder. An absolute name would not do for them: a folder may be renamed while a run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from threading import RLock


#: Held by who is in another folder, and by who writes where the process was started.
working_folder = RLock()


@contextmanager
def inside(folder: str | Path) -> Iterator[None]:
    """Be in another folder for a moment; a thread that writes by :data:`working_folder` waits."""
    with working_folder, chdir(folder):
        yield
