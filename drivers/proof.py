"""Drivers on other hosts prove that they know a secret, without sending it.

The server's INIT text has a nonce; the extras of each reply then hold an HMAC (RFC 2104,
SHA-256) of the nonce, the geometry as it was sent and energy and forces as they come back,
under the shared token. Nobody else can compute it, alter the forces or repeat an older reply
for another geometry.
"""

from __future__ import annotations

import hmac
import json
import os
from pathlib import Path

from ..errors import MixpiError


#: bytes that a token has at least.
SHORTEST = 16


def read_token(path: str | os.PathLike) -> bytes:
    """The secret in a file, without white space around it.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    bytes

    Raises
    ------
    MixpiError
        If it cannot be read, others may read it, or it is short.
    """
    path = Path(path)
    make = f"(umask 077; openssl rand -hex 32 > {path})"
    try:
        mode = path.stat().st_mode
        with path.open("rb") as stream:
            token = stream.read(4096).strip()
    except OSError as error:
        raise MixpiError(f"token {path}: {error.strerror}; make one with: {make}") from None
    if mode & 0o077:
        raise MixpiError(f"token {path} can be read by other users: chmod 600 {path}")
    if len(token) < SHORTEST:
        raise MixpiError(f"token {path} has {len(token)} bytes, {SHORTEST} at least: {make}")
    return token


def proof(*, token: bytes, nonce: str, computed: bytes) -> str:
    """What proves knowledge of the token.

    Parameters
    ----------
    token, nonce
        The secret, and what the server has sent.
    computed : bytes
        Geometry, energy and forces as they are sent.
    """
    return hmac.new(token, nonce.encode() + b"\0" + computed, "sha256").hexdigest()


def is_proven(extras: bytes, *, token: bytes, nonce: str, computed: bytes) -> bool:
    """Whether the extras of a reply hold the proof for it."""
    try:
        found = json.loads(extras)["proof"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    right = proof(token=token, nonce=nonce, computed=computed)
    return (
        bool(nonce)
        and isinstance(found, str)
        and hmac.compare_digest(found.encode(), right.encode())
    )
