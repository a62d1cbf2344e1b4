"""The server of one pool of drivers: whom it lets in, who computes what, who is given up.

It never waits: :meth:`Server.poll` does what can be done at once, so that one thread
serves two pools, and a driver that stalls holds up nobody but itself.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator

from ipi.utils.messages import verbosity, warning

from ..drivers.proof import read_token
from ..errors import MixpiError
from ..run.guardian import belongs_to, mark_of
from ..run.journal import Connected, Dropped, Warned, journal
from .addresses import describe, unix_path
from .config import SocketConfig
from .connection import Connection, Request, State, WrongAtoms
from .load import Load, computing_seconds
from .peers import Peer, is_loopback, peer_of
from .silence import bear_no_silence
from .stream import Lost


#: A request whose drivers keep dying is given up: the structure is what kills them.
MAX_ATTEMPTS = 5
#: Refusals that are said aloud before it is only counted.
MOST_SAID = 5
#: Connections beyond the expected ones that may still have to show what they are.
STRANGERS = 8
#: Connections that the kernel keeps for the next look, and that one look takes.
BACKLOG = 64
#: s without listening when the process can open no further files.
DEAF = 1.0

#: The way out for drivers that know one structure only.
ONE_STRUCTURE = (
    "Regions change from step to step: use 'mace:', or a client that answers NEEDINIT and takes "
    "changing numbers of atoms, as 'mixpi driver' does"
)


def say_aloud(text: str) -> None:
    """Say something in i-PI's log, whatever its verbosity; the launcher repeats it."""
    print(f" !MIXPI! warning: {text}", flush=True)
    journal.tell(Warned(text))


class PoolError(MixpiError):
    """A pool cannot deliver: no driver, or a driver that replies nonsense."""


class RequestFailed(PoolError):
    """A structure cannot be computed; others may be.

    Parameters
    ----------
    request : Request
        Of the structure.
    message : str
        Why.
    """

    def __init__(self, request: Request, message: str) -> None:
        super().__init__(message)
        self.request = request


class Server:
    """Listens, lets drivers in, and hands requests to those that are free.

    Parameters
    ----------
    name : str
        "cheap" or "expensive", for messages.
    config : SocketConfig
        Where, and how long a reply may take.
    count : int
        Drivers that may be connected at a time.
    launched_by : str, optional
        Mark of the family (:mod:`mixpi.run.guardian`) that the drivers are of: others are refused.
    """

    def __init__(
        self, name: str, config: SocketConfig, *, count: int, launched_by: str | None = None
    ) -> None:
        self.name, self.config, self.count, self.launched_by = name, config, count, launched_by
        self.token = read_token(config.token) if config.token else None
        self.queue: deque[Request] = deque()
        #: Drivers given up so far, and what was wrong with the last one.
        self.lost, self.last_reason = 0, ""
        self._refused = 0
        self._connections: list[Connection] = []
        self._names: dict[Connection, str] = {}
        self.loads: dict[str, Load] = {}
        self.forget_loads()
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._deaf_until: float | None = None

    def open(self) -> None:
        """Listen; nobody but the user may connect to the socket file.

        Raises
        ------
        OSError
            If the address cannot be listened on.
        """
        unix = self.config.mode == "unix"
        listener = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        try:
            if unix:
                path = unix_path(self.config.known_address)
                listener.bind(str(path))
                os.chmod(path, 0o600)  # whatever the umask; nobody can connect before listen()
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((self.config.known_address, self.config.port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ)
        if not unix and not is_loopback(self.config.known_address):
            self._warn_of_the_network()

    def fileno(self) -> int:
        """Readable when there is something to do, for selectors."""
        return self._selector.fileno()

    @property
    def has_drivers(self) -> bool:
        """Whether a driver is connected that has answered as drivers do."""
        return any(connection.introduced for connection in self._connections)

    @property
    def expects_drivers(self) -> bool:
        """Whether somebody has connected who may still turn out to be a driver."""
        return bool(self._connections)

    def forget_loads(self) -> None:
        """Let what each driver has done count from now on."""
        names = [f"{self.name}-{number}" for number in range(self.count)]
        self.loads = {name: Load() for name in [*names, *self._names.values()]}

    def poll(self) -> None:
        """Do what can be done without waiting.

        Raises
        ------
        PoolError
            If a reply makes no sense, or a structure has cost too many drivers.
        """
        knock = False
        for key, events in self._selector.select(0):
            if isinstance(key.fileobj, Connection):
                self._serve(key.fileobj, events)
            else:  # the listener; later: a driver may have ended to make room
                knock = True
        if knock:
            self._accept()
        elif self._deaf_until is not None and time.monotonic() > self._deaf_until:
            assert self._listener is not None  # it was deaf
            self._deaf_until = None
            self._selector.register(self._listener, selectors.EVENT_READ)
        for connection in list(self._connections):
            with self._guarding(connection):
                connection.require_in_time()
        self._dispatch()

    def close(self) -> None:
        """Tell the drivers that all is over, and stop listening."""
        for connection in self._connections:
            connection.say_exit()
        self._connections.clear()
        self._selector.close()
        if self._listener is not None:
            self._listener.close()
            if self.config.mode == "unix":
                with contextlib.suppress(OSError):
                    os.unlink(unix_path(self.config.known_address))

    def _serve(self, connection: Connection, events: int) -> None:
        with self._guarding(connection):
            if events & selectors.EVENT_WRITE:
                connection.send()
            if events & selectors.EVENT_READ:
                known, request = connection.introduced, connection.request
                connection.receive()
                if connection.introduced and not known:
                    self._welcome(connection)
                if request is not None and request.reply is not None:
                    self._note_load(connection, request)
            if connection in self._connections:
                self._selector.modify(connection, connection.events)

    @contextlib.contextmanager
    def _guarding(self, connection: Connection) -> Iterator[None]:
        """Give up a driver that cannot be worked with, and its work to another."""
        request = connection.request
        try:
            yield
        except Lost as lost:
            self._drop(connection, lost)
        except WrongAtoms as error:
            assert request is not None  # whose reply it was to be
            self._remove(connection)  # what it sends after that is not understood
            raise RequestFailed(
                request,
                f"the {self.name} driver returned forces for {error.found} atoms, "
                f"{request.atoms} were asked for: it was started for another structure",
            ) from None

    def _drop(self, connection: Connection, lost: Lost) -> None:
        reason, pid = str(lost), connection.peer.pid
        if lost.gone:
            text = f" @mixpi: lost a {self.name} driver; its work is given to another"
            warning(text, verbosity.low)
        else:
            print(f" @mixpi: a {self.name} driver {reason}; dropped process {pid}", flush=True)
            journal.tell(Dropped(self.name, pid, reason))  # the launcher ends it
        self.lost += 1
        self.last_reason = reason
        request = connection.request
        if request is not None and request.reply is None and request.wanted:
            request.attempts += 1
            self.queue.appendleft(request)
        self._remove(connection)

    def _note_load(self, connection: Connection, request: Request) -> None:
        assert request.reply is not None  # it has just come
        load = self.loads[self._names[connection]]
        load.evaluations += 1
        elapsed = time.perf_counter() - request.given
        load.seconds += computing_seconds(request.reply.extras, elapsed)

    def _name_of(self, connection: Connection) -> str:
        """Its name in the launcher's family, else the first that is free in the pool."""
        mark = mark_of(connection.peer.pid) if self.launched_by and connection.peer.pid else ""
        taken = set(self._names.values())
        if self.launched_by and mark.startswith(self.launched_by):
            name = mark.removeprefix(self.launched_by)
            if name and name not in taken:
                return name
        return next(name for name in self.loads if name not in taken)

    def _remove(self, connection: Connection) -> None:
        self._connections.remove(connection)
        self._names.pop(connection, None)
        self._selector.unregister(connection)
        connection.close()

    def _accept(self) -> None:
        assert self._listener is not None  # somebody has knocked
        for _ in range(BACKLOG):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue  # it has gone again
            except OSError as error:
                # no further files: those who wait are looked at when some were closed
                self._selector.unregister(self._listener)
                self._deaf_until = time.monotonic() + DEAF
                warning(f" @mixpi: no driver can be let in ({error.strerror})", verbosity.low)
                return
            try:
                self._admit(sock)
            except (OSError, Lost):
                sock.close()

    def _admit(self, sock: socket.socket) -> None:
        peer = peer_of(sock)
        refusal = self._refusal(peer)
        if refusal:
            self._refuse(peer, refusal)
            sock.close()
            return
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            bear_no_silence(sock)
        connection = Connection(
            sock,
            peer,
            patience=self.config.reply_deadline,
            token=None if peer.local else self.token,
        )
        self._connections.append(connection)
        self._selector.register(connection, connection.events)

    def _refusal(self, peer: Peer) -> str | None:
        """Why somebody is not let in."""
        if peer.uid is not None and peer.uid != os.geteuid():
            return f"it belongs to user {peer.uid}"
        mark = self.launched_by
        if mark and peer.local and peer.pid and not belongs_to(peer.pid, mark):
            return "it is none of the drivers of this run"
        if len(self._connections) >= self.count + STRANGERS:
            return f"{len(self._connections)} are connected already"
        return None

    def _welcome(self, connection: Connection) -> None:
        """Take up who has answered as a driver does, unless it is one too many."""
        if sum(other.introduced for other in self._connections) > self.count:
            why = f"{self.count} are connected already, and 'count' allows no more"
            self._refuse(connection.peer, why)
            self._remove(connection)
            return
        name = self._names[connection] = self._name_of(connection)
        self.loads.setdefault(name, Load())
        pid = connection.peer.pid
        # whatever the verbosity: who computes can be looked up afterwards
        print(f" @mixpi: {self.name} driver connected, process {pid}", flush=True)
        journal.tell(Connected(self.name, pid))

    def _refuse(self, peer: Peer, why: str) -> None:
        self._refused += 1
        if self._refused <= MOST_SAID:
            more = "; further refusals are not said" if self._refused == MOST_SAID else ""
            say_aloud(
                f"{peer.where} has connected as {self.name} driver at {describe(self.config)} and "
                f"was refused: {why}{more}"
            )

    def refusals(self) -> str:
        """Who was not let in, as the end of a sentence about drivers that are missing."""
        return f"; {self._refused} connections were refused" if self._refused else ""

    def _dispatch(self) -> None:
        for connection in list(self._connections):
            if not self.queue:
                return
            if connection.state is not State.FREE:
                continue
            request = self.queue[0]
            if request.attempts >= MAX_ATTEMPTS:
                raise RequestFailed(
                    request,
                    f"{MAX_ATTEMPTS} {self.name} drivers in a row were lost while computing the "
                    f"same structure, the last because it {self.last_reason}; see their logs",
                )
            self._require_right_structure(connection, request)
            self.queue.popleft()
            with self._guarding(connection):
                connection.give(request)
                self._selector.modify(connection, connection.events)

    def _warn_of_the_network(self) -> None:
        where = describe(self.config)
        if self.token:
            say_aloud(
                f"the {self.name} drivers connect over the network at {where}: those of other "
                "hosts must know the token, but what is sent is not encrypted"
            )
        else:
            say_aloud(
                f"whoever reaches {where} over the network can connect as {self.name} driver and "
                "compute wrong forces. Use the default address with a tunnel (ssh -R), or a "
                "'token' (cheap/expensive: socket: token), which the drivers of mixpi understand"
            )

    def _require_right_structure(self, connection: Connection, request: Request) -> None:
        """Refuse a driver that does not ask what the atoms are, once they may be others.

        It computes one structure, whose atoms it was told when it was started; given
        others it would take them for those.
        """
        if not request.init or connection.wants_init:
            return
        if connection.told is None:
            connection.told = request.init  # it was started for this structure, one must believe
            say_aloud(
                f"the {self.name} driver does not ask what the atoms are (NEEDINIT): it "
                "must have been started for exactly the atoms of this region, in this order. "
                f"{ONE_STRUCTURE}"
            )
        elif connection.told != request.init:
            raise RequestFailed(
                request,
                f"the atoms of the region have changed, but the {self.name} driver does not ask "
                f"what they are (NEEDINIT) before each evaluation: it can compute one structure "
                f"only. {ONE_STRUCTURE}",
            )
