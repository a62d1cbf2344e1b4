"""Bytes to and from a socket that is never waited for."""

from __future__ import annotations

import selectors
import socket
from collections import deque


#: bytes taken at a time.
PIECE = 1 << 20


class Lost(Exception):
    """The other end cannot be worked with any longer.

    Parameters
    ----------
    reason : str
        As the end of "a cheap driver …".
    gone : bool
        Whether it has closed the connection by itself.
    """

    def __init__(self, reason: str, *, gone: bool = False) -> None:
        super().__init__(reason)
        self.gone = gone


class Stream:
    """One end of a connection: bytes are sent and taken as the socket allows.

    What comes is taken piece by piece, each no larger than was expected.

    Parameters
    ----------
    sock : socket.socket
        Connected.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._outgoing: deque[memoryview] = deque()
        self._expect(0)

    def fileno(self) -> int:
        """For selectors."""
        return self._sock.fileno()

    @property
    def events(self) -> int:
        """What it waits for, for selectors."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)

    def send(self) -> None:
        """Send what the socket takes.

        Raises
        ------
        Lost
            If the other end is closed.
        """
        while self._outgoing:
            try:
                done = self._sock.send(self._outgoing[0])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise Lost(f"has closed the connection ({error.strerror})", gone=True) from None
            if done < len(self._outgoing[0]):
                self._outgoing[0] = self._outgoing[0][done:]
            else:
                self._outgoing.popleft()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _send(self, data: bytes) -> None:
        self._outgoing.append(memoryview(data))
        self.send()

    def _expect(self, size: int) -> None:
        """Let the next piece be one of so many bytes."""
        self._piece, self._have = bytearray(size), 0

    @property
    def _is_whole(self) -> bool:
        """Whether all of the piece has come."""
        return self._have == len(self._piece)

    def _take(self) -> bool:
        """Take what has come of a piece that is not whole; whether anything has.

        Raises
        ------
        Lost
            If the other end is closed.
        """
        room = memoryview(self._piece)[self._have : self._have + PIECE]
        try:
            count = self._sock.recv_into(room)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            raise Lost(f"has closed the connection ({error.strerror})", gone=True) from None
        if not count:
            raise Lost("has closed the connection", gone=True)
        self._have += count
        return True
