"""A driver that misbehaves on purpose: ``faulty_driver.py ADDRESS FAULT [ARGUMENT]``.

nan [N]: such forces, from the Nth evaluation on. huge N SIZE: a finite one of SIZE eV/Å.
infinite: such an energy.
more, fewer: forces for another number of atoms.
die N MARKER: kill -9 itself in its Nth evaluation, once (the marker file remembers).
always-die: in every evaluation. hang: never answers. never: does not connect.
extras: what is no text. slow S: sleeps S seconds in each evaluation.
stiff S: so too, and its forces are twice as large as the others'.
per-atom S [N]: S seconds for each atom; kills itself for more than N atoms.
one N: knows one structure of N atoms, as clients do that are not made for clusters.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from mixpi.drivers.client import connect, run_driver, serve
from mixpi.drivers.toy import ToyEngine


class Faulty(ToyEngine):
    def __init__(self, fault: str, *arguments: str) -> None:
        super().__init__()
        self.fault, self.arguments, self.done = fault, arguments, 0

    def evaluate(self, numbers, positions, cell):
        energy, forces, virial = super().evaluate(numbers, positions, cell)
        self.done += 1
        if self.fault == "nan" and self.done >= int((self.arguments or ["1"])[0]):
            forces[0, 0] = np.nan
        elif self.fault == "huge" and self.done >= int(self.arguments[0]):
            forces[1, 2] = float(self.arguments[1])
        elif self.fault == "infinite":
            energy = np.inf
        elif self.fault == "more":
            forces = np.zeros((len(forces) + 2, 3))
        elif self.fault == "fewer":
            forces = forces[:-1]
        elif self.fault == "die":
            marker = Path(self.arguments[1])
            if self.done == int(self.arguments[0]) and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        elif self.fault == "always-die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.fault == "hang":
            time.sleep(600)
        elif self.fault in ("slow", "stiff"):
            time.sleep(float(self.arguments[0]))
            if self.fault == "stiff":
                energy, forces = 2 * energy, 2 * forces
        elif self.fault == "per-atom":
            if len(forces) > int((self.arguments[1:] or ["1000000"])[0]):
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(float(self.arguments[0]) * len(forces))
        return energy, forces, virial


def main() -> int:
    address, fault, *arguments = sys.argv[1:]
    if fault == "never":
        time.sleep(600)
    if fault == "extras":
        import mixpi.drivers.client as client

        class NoText(str):
            def encode(self):
                return b"\xff\xfe"

        client.json.dumps = lambda _: NoText()
        serve(Faulty(fault), connect(address=address))
        return 0
    numbers = np.full(int(arguments[0]), 14) if fault == "one" else None
    return run_driver(
        lambda: Faulty(fault, *arguments), address=address, label=fault, numbers=numbers
    )


if __name__ == "__main__":
    sys.exit(main())
