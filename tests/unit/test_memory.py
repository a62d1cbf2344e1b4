"""Memory that is freed stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import clean_environment


SCRIPT = """
import ctypes, resource, sys
from mixpi.drivers.memory import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
    ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
)
def use():
    block = libc.malloc(40_000_000)
    ctypes.memset(block, 1, 40_000_000)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is asked")
def test_freed_memory_is_used_again():
    """Without it each block is new pages from the system, which are filled with zeros."""
    faults = {
        how: int(
            subprocess.check_output([sys.executable, "-c", SCRIPT, how], env=clean_environment())
        )
        for how in ("keep", "leave")
    }
    pages = 5 * 40_000_000 // 4096
    assert faults["keep"] < 0.1 * pages < pages <= 1.1 * faults["leave"]
