"""Malformed replies: a pool with a driver that misbehaves and one that does not.

The forces must be the right ones, computed by the good driver, or the pool must say what is
wrong; in either case within the deadlines.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ase.calculators.socketio import IPIProtocol
from ase.units import Bohr, Hartree
from mixpi.drivers.client import connect, serve
from mixpi.drivers.config import DriverConfig
from mixpi.drivers.toy import ToyEngine
from mixpi.sockets.pool import DriverPool, init_text, wait
from mixpi.sockets.server import PoolError

from .campaign import Attempt, Campaign, Result


#: s for a reply, and for an attempt as a whole (five drivers may be lost one after another).
DEADLINE, LONGEST = 0.5, 10.0
ATOMS = 5


class _Bad:
    """A driver that follows the protocol up to some point, on a plain socket."""

    def __init__(self, sock: socket.socket, rng: random.Random) -> None:
        self.sock, self.rng, self.protocol = sock, rng, IPIProtocol(sock)
        sock.settimeout(LONGEST)

    def up_to_status(self) -> None:
        assert self.protocol.recvmsg() == "STATUS"

    def up_to_forces(self) -> None:
        self.up_to_status()
        self.protocol.sendmsg("NEEDINIT")
        assert self.protocol.recvmsg() == "INIT"
        self.protocol.recvinit()
        self.up_to_status()
        self.protocol.sendmsg("READY")
        assert self.protocol.recvmsg() == "POSDATA"
        self.protocol.recvposdata()
        assert self.protocol.recvmsg() == "GETFORCE"

    def noise(self, most: int = 400) -> bytes:
        return self.rng.randbytes(self.rng.randint(1, most))

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def stay(self) -> None:
        """Hold the connection until the other end closes it."""
        with contextlib.suppress(OSError):
            while self.sock.recv(1 << 16):
                pass


def _reply(
    atoms: int = ATOMS,
    *,
    header: bytes = b"FORCEREADY  ",
    said: int | None = None,
    extras: bytes = b"",
    length: int | None = None,
    energy: float = 1e3,
    force: float = 1e3,
) -> bytes:
    """A reply with forces that are wrong by far, should anybody believe them."""
    return b"".join(
        [
            header,
            struct.pack("=di", energy, atoms if said is None else said),
            np.full(3 * atoms, force).tobytes(),
            np.zeros(9).tobytes(),
            struct.pack("=i", len(extras) if length is None else length),
            extras,
        ]
    )


def _at_the_answer(bad: _Bad, how: str) -> None:
    bad.up_to_status()
    rng = bad.rng
    data = {
        "noise": bad.noise(),
        "another message": rng.choice([b"GETFORCE", b"STATUS", b"EXIT", b"ready"]).ljust(12),
        "forces unasked": _reply(),
        "HAVEDATA at once": b"HAVEDATA    ",
        "half a header": b"READY"[: rng.randint(1, 5)],
        "nothing": b"",
        "READY twice": b"READY       " * 2,
    }[how]
    bad.sock.sendall(data)


def _at_the_forces(bad: _Bad, how: str) -> None:
    bad.up_to_forces()
    rng, whole = bad.rng, _reply(extras=b'{"a": 1}')
    data = {
        "noise": bad.noise(),
        "another header": _reply(header=rng.choice([b"HAVEDATA", b"forceready", b""]).ljust(12)),
        "cut anywhere, then silence": whole[: rng.randint(0, len(whole) - 1)],
        "extras of 2 GB": _reply(length=2**31 - 1),
        "extras of 600 MB": _reply(length=600 * 2**20) + bytes(1 << 16),
        "extras of negative length": _reply(length=-rng.randint(1, 2**31)),
        "extras that are no text": _reply(extras=b"\xff" + bad.noise()),
    }[how]
    bad.sock.sendall(data)


def _drip(bad: _Bad, _how: str) -> None:
    bad.up_to_forces()
    with contextlib.suppress(OSError):
        for byte in _reply():
            bad.sock.sendall(bytes([byte]))
            time.sleep(0.02)


def _closes(bad: _Bad, how: str) -> None:
    whole = _reply()
    if how in ("at once", "reset at once"):
        pass
    elif how == "when asked":
        bad.up_to_status()
    elif how == "reset while it computes":
        bad.up_to_forces()
    else:
        bad.up_to_forces()
        bad.sock.sendall(whole[: bad.rng.randint(0, len(whole) - 1)])
    bad.reset() if how.startswith("reset") else bad.sock.close()


def _wrong_atoms(bad: _Bad, how: str) -> None:
    bad.up_to_forces()
    rng = bad.rng
    said = {
        "more": ATOMS + rng.randint(1, 1000),
        "fewer": rng.randint(0, ATOMS - 1),
        "negative": -rng.randint(1, 2**31),
        "2 GB": 2**31 - 1,
    }[how]
    bad.sock.sendall(_reply(min(max(said, 0), 100), said=said))


def _not_finite(bad: _Bad, how: str) -> None:
    bad.up_to_forces()
    value = float(how.split()[0])
    bad.sock.sendall(_reply(**{how.split()[1]: value}))


#: Kind → how it is done, its variants, and what the pool must say (None: it gets over it).
MISBEHAVIOUR: dict[str, tuple[Callable[[_Bad, str], None], list[str], str | None]] = {
    "answer to STATUS": (
        _at_the_answer,
        [
            "noise",
            "another message",
            "forces unasked",
            "HAVEDATA at once",
            "half a header",
            "nothing",
            "READY twice",
        ],
        None,
    ),
    "reply": (
        _at_the_forces,
        [
            "noise",
            "another header",
            "cut anywhere, then silence",
            "extras of 2 GB",
            "extras of 600 MB",
            "extras of negative length",
            "extras that are no text",
        ],
        None,
    ),
    "dripping reply": (_drip, ["a byte in 20 ms"], None),
    "end of the connection": (
        _closes,
        ["at once", "when asked", "reset at once", "reset while it computes", "in the reply"],
        None,
    ),
    "number of atoms": (_wrong_atoms, ["more", "fewer", "negative", "2 GB"], "returned forces for"),
    "not finite": (
        _not_finite,
        ["nan energy", "inf energy", "nan force", "-inf force"],
        "NaN or infinity",
    ),
}


def _try(misbehave: Callable[[_Bad, str], None], how: str, says: str | None, seed: int) -> Result:
    address = f"mixpi-campaign-{uuid.uuid4().hex[:12]}"
    driver = DriverConfig.model_validate(
        {
            "external": True,
            "count": 2,
            "socket": {"address": address, "reply_deadline": DEADLINE, "connect_deadline": 5.0},
        }
    )
    pool = DriverPool("cheap", driver)
    pool.open()
    rng = random.Random(seed)
    numbers = np.full(ATOMS, 14)
    positions = np.random.default_rng(seed).uniform(1.0, 9.0, (ATOMS, 3))
    start = time.monotonic()

    def misbehaving() -> None:
        with contextlib.suppress(OSError, AssertionError):
            bad = _Bad(connect(address=address), rng)
            with bad.sock:
                misbehave(bad, how)
                if bad.sock.fileno() >= 0:
                    bad.stay()

    def good() -> None:
        serve(ToyEngine(), connect(address=address))

    bad_thread = threading.Thread(target=misbehaving, daemon=True)
    good_thread = threading.Thread(target=good, daemon=True)
    try:
        bad_thread.start()
        request = pool.submit(positions, np.eye(3) * 20.0, 0, init_text(numbers))

        def late() -> None:
            """Let the good one in when the bad one has had its chance."""
            if time.monotonic() - start > LONGEST:
                raise TimeoutError
            if not good_thread.ident and (
                time.monotonic() - start > 0.05 or not bad_thread.is_alive()
            ):
                good_thread.start()

        try:
            wait({pool: [request]}, meanwhile=late)
            _, forces = pool.result(request)
        except TimeoutError:
            return Result("hung", f"longer than {LONGEST} s")
        except PoolError as error:
            if says and says in str(error):
                return Result("passed")
            return Result("wrong", f"the pool gives up: {error}")
        right = ToyEngine().evaluate(numbers, positions * Bohr, None)[1]
        if not np.allclose(forces, right * (Bohr / Hartree), atol=1e-6):
            return Result("wrong", "the forces are those of the driver that misbehaves")
    finally:
        pool.close()
        for thread in (bad_thread, good_thread):
            if thread.ident:
                thread.join(LONGEST)
    if bad_thread.is_alive() or good_thread.is_alive():
        return Result("left over", "a driver was not told that all is over")
    if os.path.lexists(f"/tmp/ipi_{address}"):
        return Result("left over", "the socket file")
    return Result("passed")


def attempts(rng: random.Random) -> Iterator[Attempt]:
    """All variants in turn, each with noise and lengths of its own."""
    while True:
        for kind, (misbehave, variants, says) in MISBEHAVIOUR.items():
            for how in variants:
                seed = rng.getrandbits(32)

                def run(_folder: Path, m=misbehave, h=how, s=says, n=seed) -> Result:
                    return _try(m, h, s, n)

                yield Attempt(kind, f"{how} (seed {seed})", run)


CAMPAIGN = Campaign("protocol", attempts)
