"""The socket client that all our Python drivers share.

It is legal i-PI protocol on ASE's framing. By asking for INIT (``NEEDINIT``) before
each evaluation it learns the species of the cluster at hand, so clusters may
change from one evaluation to the next; with a template it is an ordinary client
of a fixed structure, for any i-PI input.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from typing import Protocol

import numpy as np
from ase.calculators.socketio import IPIProtocol, SocketClosed

from ..errors import MixpiError


class Engine(Protocol):
    """What a driver computes.

    An engine that does not care for species sets ``needs_species = False`` and may be
    given None for them.
    """

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy and forces of a periodic structure.

        Parameters
        ----------
        numbers : ndarray of int, shape (m,)
            Atomic numbers.
        positions : ndarray, shape (m, 3)
            Å.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.

        Returns
        -------
        energy : float
            eV.
        forces : ndarray, shape (m, 3)
            eV/Å.
        virial : ndarray, shape (3, 3)
            eV; NaN if unknown.
        """
        ...


class Stopped(Exception):
    """A signal asked the driver to stop."""


def connect(
    *, address: str, mode: str = "unix", port: int | None = None, deadline: float = 60.0
) -> socket.socket:
    """Connect to an i-PI server, trying again until it listens.

    Parameters
    ----------
    address : str
        unix: the name behind ``/tmp/ipi_``, or a path; inet: the host.
    mode : {"unix", "inet"}
        Kind of socket.
    port : int, optional
        For inet.
    deadline : float
        s.

    Returns
    -------
    socket.socket

    Raises
    ------
    MixpiError
        If there is no server within the deadline.
    """
    path = address if address.startswith("/") else f"/tmp/ipi_{address}"
    target = path if mode == "unix" else (address, port)
    end = time.monotonic() + deadline
    while True:
        sock = socket.socket(socket.AF_UNIX if mode == "unix" else socket.AF_INET)
        try:
            sock.connect(target)
        except OSError as error:
            sock.close()
            if time.monotonic() > end:
                raise MixpiError(
                    f"no i-PI server at {target} within {deadline:g} s ({error.strerror}): start "
                    "i-PI first, and compare the address with its input"
                ) from None
            time.sleep(0.05)
            continue
        if mode == "inet":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


def serve(engine: Engine, sock: socket.socket, *, numbers: np.ndarray | None = None) -> int:
    """Answer an i-PI server until it says EXIT or goes away.

    Parameters
    ----------
    engine : Engine
        Does the work.
    sock : socket.socket
        Connected.
    numbers : ndarray of int, optional
        Species of a fixed structure. Without them they come with each request.

    Returns
    -------
    int
        Evaluations done.

    Raises
    ------
    MixpiError
        If the server sends what cannot be evaluated.
    """
    protocol = IPIProtocol(sock)
    fixed = numbers is not None
    needs_species = getattr(engine, "needs_species", True)
    need_init, result, done = True, None, 0
    try:
        while True:
            message = protocol.recvmsg()
            if message == "STATUS":
                state = "HAVEDATA" if result else "NEEDINIT" if need_init else "READY"
                protocol.sendmsg(state)
            elif message == "INIT":
                _, text = protocol.recvinit()
                text = text.tobytes().decode("ascii", "replace")
                numbers = numbers if fixed else _numbers_from(text)
                _refuse_batches(text)
                need_init = False
            elif message == "POSDATA":
                try:
                    cell, _, positions = protocol.recvposdata()
                except AssertionError:
                    raise MixpiError("the server sent NaN or infinite positions") from None
                known = 0 if numbers is None else len(numbers)
                if len(positions) != known and (known or needs_species):
                    raise MixpiError(
                        f"the server sent {len(positions)} atoms, but the species of "
                        f"{known} are known: "
                        + (
                            "the template is another structure than i-PI's"
                            if fixed
                            else "is it a mixpi mixing layer? For plain i-PI give --template"
                        )
                    )
                start = time.perf_counter()
                result = engine.evaluate(numbers, positions, cell)
                seconds = time.perf_counter() - start
            elif message == "GETFORCE":
                if result is None:
                    raise MixpiError("the server asked for forces before it sent positions")
                extras = json.dumps({"driver_seconds": seconds}).encode()
                protocol.sendforce(*result, np.frombuffer(extras, np.byte))
                result, need_init, done = None, not fixed, done + 1
            elif message == "EXIT":
                return done
            else:
                raise MixpiError(f"the server sent {message!r}: is it an i-PI server?")
    except (SocketClosed, ConnectionError):
        return done  # the server has gone: nothing is left to do
    finally:
        sock.close()


def stop_on_signals() -> None:
    """Turn SIGTERM and SIGINT into :class:`Stopped`, so that sockets are closed."""

    def stop(signum, _frame):
        raise Stopped(signal.Signals(signum).name)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)


def run_driver(
    make_engine,
    *,
    address: str,
    mode: str = "unix",
    port: int | None = None,
    deadline: float = 60.0,
    numbers: np.ndarray | None = None,
    label: str = "driver",
) -> int:
    """Make the engine, connect, serve: the whole life of a driver process.

    Parameters
    ----------
    make_engine : callable
        Returns the :class:`Engine`; called before connecting, because a connected
        driver is expected to answer.
    address, mode, port, deadline
        As for :func:`connect`.
    numbers : ndarray of int, optional
        As for :func:`serve`.
    label : str
        For the log.

    Returns
    -------
    int
        Exit code: 0 after EXIT, end of stream or a signal.
    """
    stop_on_signals()
    try:
        engine = make_engine()
        print(f"{label}: ready, connecting to {address}", flush=True)
        sock = connect(address=address, mode=mode, port=port, deadline=deadline)
        print(f"{label}: connected", flush=True)
        done = serve(engine, sock, numbers=numbers)
    except Stopped as stopped:
        print(f"{label}: stopped by {stopped}", flush=True)
        return 0
    except MixpiError as error:
        print(f"{label}: error: {error}", file=sys.stderr, flush=True)
        return 1
    print(f"{label}: the server has ended, {done} evaluations done", flush=True)
    return 0


def _numbers_from(text: str) -> np.ndarray | None:
    """Atomic numbers in an INIT text of the mixing layer, `` mixpi : {json} , ``."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        return np.array(json.loads(text[begin : end + 1])["numbers"], dtype=int)
    except (ValueError, KeyError, TypeError):
        return None


def _refuse_batches(text: str) -> None:
    if "batch_size" in text:
        raise MixpiError(
            "this driver takes one structure at a time: remove <batch_size> from the <ffsocket>"
        )
