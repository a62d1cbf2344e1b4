"""The server's side of the socket protocol, for tests of single drivers."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.socketio import IPIProtocol


class Asked(IPIProtocol):
    """A connected driver."""

    def ask(self, atoms: Atoms, **more) -> tuple[float, np.ndarray, np.ndarray, dict]:
        """One evaluation as the mixing layer asks for it: eV, eV/Å, eV, and what came with it.

        What else the driver is told goes with the species.
        """
        assert self.status() == "NEEDINIT"
        told = json.dumps({"numbers": atoms.numbers.tolist(), **more})
        text = np.frombuffer(f" mixpi : {told} , ".encode(), np.byte)
        self.sendmsg("INIT")
        self.send(3, np.int32)
        self.send(len(text), np.int32)
        self.send(text, np.byte)
        assert self.status() == "READY"
        cell = atoms.cell.array
        self.sendposdata(cell, np.linalg.inv(cell), atoms.positions)
        assert self.status() == "HAVEDATA"
        self.sendmsg("GETFORCE")
        assert self.recvmsg() == "FORCEREADY"
        energy = float(self.recv(1, np.float64)[0]) * units.Ha
        count = int(self.recv(1, np.int32)[0])
        forces = self.recv((count, 3), np.float64) * units.Ha / units.Bohr
        virial = np.frombuffer(self._recvall(72)).reshape(3, 3).T * units.Ha  # may be NaN
        extras = self._recvall(int(self.recv(1, np.int32)[0]))
        return energy, forces, virial, json.loads(extras)


class Listening:
    """A unix socket that waits for drivers."""

    def __init__(self) -> None:
        self.address = f"mixpi-test-{uuid.uuid4().hex[:10]}"
        self.path = Path(f"/tmp/ipi_{self.address}")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen()
        self._connections: list[socket.socket] = []

    def accept(self, seconds: float = 60.0) -> Asked:
        self._socket.settimeout(seconds)
        connection, _ = self._socket.accept()
        connection.settimeout(seconds)
        self._connections.append(connection)
        return Asked(connection)

    def close(self) -> None:
        for one in (*self._connections, self._socket):
            one.close()
        self.path.unlink()


@contextmanager
def listening() -> Iterator[Listening]:
    server = Listening()
    try:
        yield server
    finally:
        server.close()
