"""XML files of i-PI: parsed only if i-PI, which reads them in its own way, sees the same."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from ..errors import MixpiError
from .user_files import MiB, open_file


#: Bytes; a RESTART holds positions and momenta of all atoms and beads as text.
LARGEST = 8192 * MiB
#: Tags within tags; i-PI's own grammar is a dozen deep.
DEEPEST = 100
#: Characters of a tag's name, and of an attribute.
LONGEST_TAG, LONGEST_ATTRIBUTE = 200, 10_000
CHUNK = 1 * MiB


class _Refused(Exception):
    """Legal XML that is not for i-PI."""


def parse_xml(path: Path, what: str) -> ElementTree.Element:
    """The root of an XML file in UTF-8, without entities of its own.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        How messages call it.

    Raises
    ------
    MixpiError
        If it cannot be read, is not well formed, or is of a kind that i-PI would read
        differently (encodings) or that can grow without end (entities).
    """
    with open_file(path, what, largest=LARGEST) as stream:
        try:
            _look_through(stream)
            stream.seek(0)
            return ElementTree.parse(stream).getroot()
        except OSError as error:
            raise MixpiError(f"cannot read {what} {path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise MixpiError(f"{path} is not a text file in UTF-8: {error}") from None
        except _Refused as error:
            raise MixpiError(f"{path}: {error}") from None
        except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
            raise MixpiError(f"{path} is not valid XML: {error}") from None


def _look_through(stream: BinaryIO) -> None:
    """One pass that keeps nothing: encoding, entities, depth, lengths of names."""
    parser = expat.ParserCreate()
    depth = 0

    def declaration(_version: str, encoding: str | None, _standalone: int) -> None:
        if encoding and encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "us-ascii"):
            raise _Refused(
                f"it says encoding='{encoding[:40]}', and i-PI reads UTF-8: save it as UTF-8"
            )

    def doctype(*_: object) -> None:
        raise _Refused(
            "it has a <!DOCTYPE>: entities of its own can stand for other files, or for "
            "gigabytes. Remove it, and write out what they stand for"
        )

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if len(name) > LONGEST_TAG:
            raise _Refused(f"<{name[:40]}...> is a tag of {len(name)} characters")
        for key, value in attributes.items():
            if len(key) + len(value) > LONGEST_ATTRIBUTE:
                raise _Refused(
                    f"the attribute {key[:40]}='{value[:40]}...' of <{name}> has more than "
                    f"{LONGEST_ATTRIBUTE} characters"
                )
        if depth > DEEPEST:
            raise _Refused(f"<{name[:40]}> is the {DEEPEST}th tag within tags: i-PI knows no such")

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser.XmlDeclHandler = declaration
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler, parser.EndElementHandler = start, end
    first = True
    while chunk := stream.read(CHUNK):
        if first and chunk.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")):
            raise _Refused("it is in UTF-16, and i-PI reads UTF-8: save it as UTF-8")
        first = False
        parser.Parse(chunk, False)
    parser.Parse(b"", True)
