"""The section that says where the drivers of a pool connect."""

from __future__ import annotations

import os
from typing import Literal, Self

from pydantic import Field, model_validator

from ..files.names import FileName
from ..files.yaml_files import Positive, Section


#: Bytes; a socket's path has at most 107, with /tmp/ipi_ before it.
LONGEST_ADDRESS = 98


class SocketConfig(Section):
    """Where the drivers of one pool connect, and how long they are waited for."""

    mode: Literal["unix", "inet"] = Field(
        "unix", description="unix (this machine) or inet (TCP, also from other hosts)."
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="unix: name of the socket file /tmp/ipi_<address> (default: a name made from "
        "the path of this file); inet: host to listen on (default: localhost, which other hosts "
        "reach through a tunnel only).",
    )
    port: int | None = Field(None, ge=1025, le=65535, description="inet only; TCP port.")
    token: FileName | None = Field(
        None,
        min_length=1,
        description="inet only; file with a secret, relative to this one, readable by its owner "
        "alone. Drivers on other hosts must then prove with every reply that they have it, too "
        "(mixpi driver … --token FILE); clients that cannot, such as LAMMPS, need a tunnel.",
    )
    connect_deadline: Positive = Field(
        120.0, description="s; the run stops if no driver has connected by then."
    )
    reply_deadline: Positive = Field(
        600.0,
        description="s; a driver that computes longer is dropped and its work given to another.",
    )

    @model_validator(mode="after")
    def _port_belongs_to_inet(self) -> Self:
        if self.mode == "inet" and self.port is None:
            raise ValueError("mode inet needs a port, e.g. port: 31415")
        if self.mode == "unix" and self.port is not None:
            raise ValueError("port is for mode inet; with unix give an address or nothing")
        if self.mode == "unix" and self.token is not None:
            raise ValueError("token is for mode inet: a unix socket lets nobody else in anyway")
        if self.mode == "unix" and self.address and "/" in self.address:
            raise ValueError("a unix address is a plain name without '/' (LAMMPS fixes /tmp/ipi_)")
        if self.address and ("\n" in self.address or "\t" in self.address):
            raise ValueError("an address is one line without tabs")
        if self.address and len(os.fsencode(self.address)) > LONGEST_ADDRESS:
            raise ValueError(f"an address has {LONGEST_ADDRESS} bytes at most")
        return self

    @property
    def known_address(self) -> str:
        """The address, once it is filled in (:func:`mixpi.config.load_config`)."""
        assert self.address is not None
        return self.address

    @property
    def flags(self) -> list[str]:
        """What tells a driver of ours where to connect."""
        flags = ["--address", self.address or "", "--mode", self.mode]
        if self.port is not None:
            flags += ["--port", str(self.port)]
        if self.token is not None:
            flags += ["--token", self.token]
        return [*flags, "--deadline", str(self.connect_deadline)]
