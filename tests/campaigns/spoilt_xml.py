"""What can be wrong with input.xml: its values, its text.

Each comes with the answer that is right: True in order, False to be refused, None either.
"""

# ruff: noqa: E501 - a line a case reads best

from __future__ import annotations

from collections.abc import Callable


REQUIRED_TAGS = {
    "simulation",
    "ffdirect",
    "pes",
    "pes_path",
    "parameters",
    "system",
    "forces",
    "force",
}
NOT_TWICE = {"ffdirect", "system", "total_steps", "pes_path", "timestep", "tau"}
FILE = "<file mode='ase' units='ase'>start.extxyz</file>"
STEP, TEMPERATURE = ">1</timestep>", "<temperature units='kelvin'>300.0<"
NAMES = (
    "gone.extxyz", "", " ", ".", "..", "/", "/dev/zero", "/dev/stdin", "/dev/tty", "x" * 5000,
    "a/" * 3000, "/proc/self/mem", "../" * 40 + "etc/passwd", "mixing.yaml", "-", "~",
    "postgresql://localhost/x",
)  # fmt: skip
#: Old, new, answer.
XML_VALUES: list[tuple[str, str, bool | None]] = [
    *((FILE, f"<file mode='{mode}'>{name}</file>", False)
      for mode in ("ase", "xyz", "pdb", "chk") for name in NAMES),
    *(("<pes_path>mixing_pes.py<", f"<pes_path>{name}<", False) for name in NAMES if name != "~"),
    *(("config: mixing.yaml", f"config: {name}", False) for name in NAMES if name.strip("- ")
      and name != "mixing.yaml"),
    *(("<total_steps>5<", f"<total_steps>{v}<", False) for v in (
        "", "x", "-5", "0", "1e3", "9" * 5000, "nan", "5.0", "0x10", "99999999999999999999999",
    )),
    ("<total_steps>5<", "<total_steps> 6 <", True),
    *(("nbeads='1'", f"nbeads='{v}'", False) for v in (
        "", "x", "-1", "0", "1.0", "9" * 5000, "1000000000", "nan",
    )),
    ("<initialize nbeads='1'>", "<initialize nbeads='2'>", False),
    *((STEP, f">{v}</timestep>", False) for v in ("", "x", "nan", "inf", "-1", "0", "1,0", "1 2")),
    *((STEP, f">{v}</timestep>", None) for v in ("1e300", "1e-300", "9" * 400, "٣")),
    *((TEMPERATURE, f"<temperature units='kelvin'>{v}<", False) for v in ("x", "nan", "-300", "")),
    *((">100</tau>", f">{v}</tau>", None) for v in ("x", "nan", "-1", "0", "inf", "1e300")),
    *(("units='femtosecond'", f"units='{v}'", False) for v in ("femto", "kelvin", "\u00e5")),
    *(("safe_stride='1'", f"safe_stride='{v}'", False) for v in ("0", "-1", "x", "1.5", "9" * 5000)),
    *(("stride='10'", f"stride='{v}'", False) for v in ("0", "-1", "x", "1.5")),
    *(("<seed>31415</seed>", f"<seed>{v}</seed>", None) for v in ("-1", "x", "9" * 300, "")),
    *(("prefix='md'", f"prefix='{v}'", False) for v in (
        "gone/md", "/dev/null/x", "x" * 300, "/gone/md",
    )),
    ("prefix='md'", "prefix='my'", True),
    ("<force forcefield='mix'/>", "<force forcefield='mixx'/>", False),
    ("<force forcefield='mix'/>", "<force forcefield=''/>", False),
    ("<force forcefield='mix'/>", "<force forcefield='mix' weight='0'/>", False),
    ("<force forcefield='mix'/>", "<force forcefield='mix' weight='nan'/>", False),
    ("<force forcefield='mix'/>", "<force forcefield='mix' nbeads='9'/>", None),
    ("<dynamics mode='nvt'>", "<dynamics mode='npt'>", False),
    ("<motion mode='dynamics'>", "<motion mode='minimize'>", False),
    ("<motion mode='dynamics'>", "<motion mode='neb'>", False),
    ("<motion mode='dynamics'>", "<motion mode='al-kmc'>", False),
    ("</motion>", "<fixatoms>[0:1000000000]</fixatoms></motion>", False),
    ("</motion>", f"<fixatoms>[{','.join('1' * 200_000)}]</fixatoms></motion>", None),
    ("</motion>", "<fixatoms>[64]</fixatoms></motion>", None),
    ("</motion>", "<fixatoms>[-1]</fixatoms></motion>", False),
    ("<parameters>{config: mixing.yaml}", "<parameters>{config: " + "[" * 5000, False),
    ("<parameters>{config: mixing.yaml}", "<parameters>{config: mixing.yaml, x: 1}", False),
    ("<parameters>{config: mixing.yaml}", "<parameters>{}", False),
    ("<parameters>{config: mixing.yaml}", "<parameters>{config: 'mixing.yaml'}", True),
    ("<pes>custom<", "<pes>customm<", False),
    ("<pes>custom<", "<pes>dummy<", False),
    ("[ step,", "[ step, " + "temperature, " * 20_000, None),
    ("[ step,", "[ stepp,", False),
    ("[ step,", "[ temperature(atom=99),", False),
    ("[ step,", "[ step{" + "x" * 9000 + "},", False),
    ("</parameters>", "</parameters><batch_size>1000000000</batch_size>", False),
    ("</parameters>", f"</parameters><batch_size>{'9' * 5000}</batch_size>", False),
    ("</initialize>", "<cell mode='manual'>[1,0,0,0,1,0,0,0,1]</cell></initialize>", False),
    ("</initialize>", "<cell mode='abc' units='angstrom'>[0,0,0]</cell></initialize>", False),
    ("</initialize>", "<positions mode='manual'>[0,0,0]</positions></initialize>", False),
    ("</initialize>", "<masses mode='manual'>[nan]</masses></initialize>", False),
    ("<prng>", "<ffsocket name='s' mode='inet'><address>evil</address></ffsocket><prng>", True),
]  # fmt: skip


def _entities(depth: int) -> bytes:
    lines = ['<!ENTITY a0 "ha">']
    lines += [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, depth)]
    return f"<!DOCTYPE simulation [{''.join(lines)}]>".encode()


#: What is done to input.xml, the answer.
XML_TEXTS: dict[str, tuple[Callable[[str], bytes], bool | None]] = {
    "billion laughs": (
        lambda t: _entities(12) + t.replace("<forces>", "<forces>&a11;").encode(), False),
    "external entity": (
        lambda t: b'<!DOCTYPE simulation [<!ENTITY e SYSTEM "/etc/hostname">]>'
        + t.replace("start.extxyz", "&e;").encode(), False),
    "external DTD": (lambda t: b'<!DOCTYPE simulation SYSTEM "http://localhost/x">' + t.encode(), False),
    "entity of nothing": (lambda t: t.replace("<forces>", "<forces>&nope;").encode(), False),
    "deep": (lambda t: t.replace("</system>", "<a>" * 50_000 + "</a>" * 50_000 + "</system>").encode(), False),
    "deep, open": (lambda t: b"<a>" * 300_000, False),
    "many": (lambda t: t.replace("</system>", "<a/>" * 100_000 + "</system>").encode(), False),
    "utf-16": (lambda t: ('<?xml version="1.0" encoding="utf-16"?>' + t).encode("utf-16"), False),
    "utf-16 without a mark": (lambda t: t.encode("utf-16-le"), False),
    "utf-8 is said": (lambda t: b'<?xml version="1.0" encoding="UTF-8"?>\n' + t.encode(), True),
    "byte order mark": (lambda t: b"\xef\xbb\xbf" + t.encode(), None),
    "utf-16 is said": (lambda t: b'<?xml version="1.0" encoding="utf-16"?>' + t.encode(), False),
    "latin-1 is said": (lambda t: b'<?xml version="1.0" encoding="latin-1"?>' + t.encode(), False),
    "nonsense is said": (lambda t: b'<?xml version="1.0" encoding="nope"?>' + t.encode(), False),
    "an encoding of many bytes": (lambda t: b'<?xml version="1.0" encoding="gb18030"?>' + t.encode(), False),
    "utf-7 is said": (lambda t: b'<?xml version="1.0" encoding="utf-7"?>' + t.encode(), False),
    "bad declaration": (lambda t: b"<?xml version='9'>" + t.encode(), False),
    "another version": (lambda t: b"<?xml version='9'?>" + t.encode(), None),
    "latin-1": (lambda t: t.replace("<forces>", "<!-- \xe9 --><forces>").encode("latin-1"), False),
    "comment": (lambda t: t.replace("<forces>", "<!-- å --><forces>").encode(), True),
    "CDATA": (lambda t: t.replace(">start.extxyz<", "><![CDATA[start.extxyz]]><").encode(), True),
    "instruction": (lambda t: b"<?php system('x') ?>" + t.encode(), None),
    "stylesheet": (lambda t: b'<?xml-stylesheet href="x"?>' + t.encode(), None),
    "NUL": (lambda t: t.encode() + b"\0", False),
    "NUL in a name": (lambda t: t.encode().replace(b"start", b"st\0rt"), False),
    "NUL as a number": (lambda t: t.replace("start", "st&#0;rt").encode(), False),
    "bell as a number": (lambda t: t.replace("start", "st&#7;rt").encode(), False),
    "surrogate as a number": (lambda t: t.replace("start", "st&#xD800;rt").encode(), False),
    "namespace": (lambda t: t.replace("<simulation ", "<simulation xmlns='urn:x' ").encode(), False),
    "inclusion": (
        lambda t: t.replace("<forces>", "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' "
        "href='/etc/hostname' parse='text'/><forces>").encode(), False),
    "windows": (lambda t: t.replace("\n", "\r\n").encode(), True),
    "two roots": (lambda t: (t + t).encode(), False),
    "empty": (lambda t: b"", False),
    "spaces": (lambda t: b" " * 1_000_000, False),
    "text": (lambda t: b"hello", False),
    "YAML": (lambda t: b"a: 1\n", False),
    "HTML": (lambda t: b"<html><body><br></body></html>", False),
    "attribute twice": (lambda t: t.replace("<ffdirect ", "<ffdirect name='x' ").encode(), False),
    "long attribute": (lambda t: t.replace("name='mix'", f"name='{'x' * 1_000_000}'").encode(), False),
    "long text": (lambda t: t.replace(">start.extxyz<", f">{'x' * 3_000_000}<").encode(), False),
    "long tag": (lambda t: t.replace("</system>", f"<{'x' * 500_000}/></system>").encode(), False),
}  # fmt: skip
