"""TCP connections to hosts that may vanish: how long silence is borne, at both ends.

Without this a host that is cut off is noticed by whoever has sent something after about a
quarter of an hour, and by who only listens never.
"""

from __future__ import annotations

import socket

from .peers import ends_here


#: s without any sign of the other host after which it counts as gone. A computer that computes
#: gives signs: its kernel does.
SILENCE = 30.0
#: s of quiet before it is asked for a sign, and between two of these questions.
_ASK_AFTER, _ASK_EVERY = 10, 5


def bear_no_silence(sock: socket.socket) -> None:
    """Let a TCP connection fail when the other host has been silent for too long.

    A connection within this machine is left as it is: it has no link that could be cut, and a
    process that somebody has stopped would be taken for one that is gone.

    Parameters
    ----------
    sock : socket.socket
        Connected.
    """
    if ends_here(sock):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": _ASK_AFTER,
        "TCP_KEEPINTVL": _ASK_EVERY,
        "TCP_KEEPCNT": round((SILENCE - _ASK_AFTER) / _ASK_EVERY),
        # also where something has been sent: questions are not asked then
        "TCP_USER_TIMEOUT": round(1e3 * SILENCE),
    }
    for name, value in options.items():
        if hasattr(socket, name):  # not all of them beyond Linux
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
