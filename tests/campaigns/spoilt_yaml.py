"""What can be wrong with mixing.yaml: its values, its text.

Each comes with the answer that is right: True in order, False to be refused, None either.
"""

# ruff: noqa: E501 - a line a case reads best

from __future__ import annotations

from collections.abc import Callable


#: Keys without which there is no configuration.
REQUIRED = {
    "structure", "seeds", "regions", "regions.core", "regions.blend", "regions.buffer", "cheap",
    "expensive", "cheap.command", "expensive.command", "cheap.lammps", "cheap.lammps.potential",
    "expensive.mace", "expensive.mace.model",
}  # fmt: skip
BIG = 10**400
DEEP: list = []
for _ in range(60):
    DEEP = [DEEP]
STRANGE_VALUES = [
    None, True, False, -1, 0, 1e308, float("nan"), float("inf"), "", " ", "\x00", "x" * 5000,
    "../../etc/passwd", "/dev/zero", "\ud800", "٣", [], {}, [[]], {"a": 1}, BIG, -BIG, DEEP,
    "2026-13-45", [1] * 1000, "{address.__class__}", "!!python/name:os.system", "\u202e",
]  # fmt: skip
#: Key, value, answer.
VALUES: list[tuple[str, object, bool | None]] = [
    *(("seeds", v, False) for v in (
        [], [64], [-1], [0.0], ["0"], [True], [0, 0], "every", None, 3, [[0]], [BIG], {"a": 1},
        [float("nan")], list(range(64)) * 2, list(range(200_000)), "٣", ["٣"],
    )),
    ("seeds", "none", True), ("seeds", "all", True), ("seeds", list(range(64)), True), ("seeds", [63], True),
    *((f"regions.{r}", v, False) for r in ("core", "blend", "buffer") for v in (
        -1, -1e-9, float("nan"), float("inf"), 3e4, 1e30, 1e308, BIG, "3.0x", None, True, [3.0],
    )),
    *((f"regions.{r}", v, True) for r in ("core", "blend", "buffer") for v in (0, 0.0, 4, 8.0)),
    # thirty times the cell: of no use, but no harm
    *((f"regions.{r}", 300.0, None) for r in ("core", "blend", "buffer")),
    ("regions.profile", "cosine", False), ("regions.profile", "linear", True),
    *(("structure", v, False) for v in (
        "", " ", ".", "..", "/", "gone.extxyz", "x" * 300, "a/" * 3000, "init.extxyz\n", "\x00",
        "init\x00.extxyz", "/dev/zero", "/dev/stdin", "/dev/tty", "-", "postgresql://localhost/x",
        "mysql://u:p@localhost/x", "mixing.yaml", "input.xml", "init.extxyz@", "*.extxyz",
        "\ud800.extxyz", "/proc/self/mem", "/proc/kmsg", "~nobody/x", 3, True, ["init.extxyz"],
    )),
    ("structure", "./init.extxyz", True), ("structure", "../case/init.extxyz", True),
    *((f"{pool}.count", v, False) for pool in ("cheap", "expensive") for v in (
        0, -1, 1025, 10**9, BIG, 1.5, "two", True, None,
    )),
    ("cheap.count", 1024, True), ("cheap.max_restarts", -1, False),
    ("cheap.max_restarts", 10**6, True),
    *((f"cheap.socket.{key}", v, False) for key in ("reply_deadline", "connect_deadline") for v in (
        0, -1, float("nan"), float("inf"), "soon", True, BIG,
    )),
    *(("cheap.socket.address", v, False) for v in (
        "", "a/b", "../x", "x" * 200, "a\x00b", "a\nb", "\ud800", 3, True, "ü" * 90,
    )),
    *(("cheap.socket.port", v, False) for v in (0, 80, 65536, -1, BIG, 31415)),
    ("cheap.socket.mode", "udp", False), ("cheap.socket.mode", "inet", False),
    *((f"output.{key}", v, False) for key in ("trajectory", "steps") for v in (
        "", ".", "..", "/", "x" * 300, "gone/x", "a\x00b", "a\nb", "\ud800", 3, True, "init.extxyz",
        "input.xml", "mixing.yaml", "mixing_pes.py", "start.extxyz", "RESTART", "logs", "folder/",
    )),
    ("output.trajectory", None, True), ("output.steps", None, False),
    *(("output.stride", v, False) for v in (0, -1, 1.5, "x", True, None)),
    ("output.stride", 10**12, True), ("output", None, False), ("cheap", None, False),
    ("cheap.external", True, False), ("remove_net_force", "maybe", False),
    *(("expensive.mace.model", v, False) for v in (
        "", "gone.model", ".", "/dev/zero", "x" * 300 + ".model", "a\x00.model", 3, None,
        "init.extxyz.model", "\ud800.model",
    )),
    ("expensive.mace.device", "cuda; rm", False), ("expensive.mace.device", "gpu", False),
    ("expensive.mace.dtype", "float16", False), ("expensive.mace.threads", 0, False),
    ("expensive.mace.threads", -1, False), ("expensive.mace.threads", True, False),
    ("expensive.mace.launch", "gone-srun", False), ("expensive.mace.launch", "'", False),
    ("expensive.mace.head", "", False),
    *(("expensive.mace.sha256", v, False) for v in (
        "", "0" * 64, "0" * 63, "A" * 64, 0, True, "x" * 64, "0" * 64 + "\n",
    )),
    *(("cheap.lammps.species", v, False) for v in (
        [], ["He"], ["Xx"], ["Si", "Si"], ["si"], [14], "Si", [""], ["Si\n"], ["He", "Si"],
    )),
    *(("cheap.lammps.potential", v, False) for v in ([], [""], ["pair_style"], "x", None, [3], [[]])),
    *(("cheap.lammps.executable", v, False) for v in ("gone", "", ".", "/", "/dev/null", "a\x00b")),
    *(("cheap.lammps.arguments", v, False) for v in (
        "'", "-in evil", "-var a b", "-log x", "-r2data a b", "-screen x", "--in x", "\x00",
    )),
    ("cheap.lammps.arguments", "-sf omp -pk omp 1", True),
    ("cheap.lammps.launch", "gone -n 2", False), ("cheap.lammps.launch", "env A=1", True),
]  # fmt: skip


def _bomb(text: str, *, depth: int = 9, width: int = 10, key: str = "structure") -> bytes:
    lines = ["a0: &a0 x"]
    for n in range(1, depth):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]")
    return ("\n".join(lines) + f"\n{text}\n{key}2: *a{depth - 1}\n").encode()


def _merge_bomb(text: str) -> bytes:
    lines = ["m0: &m0 {a: 1, b: 2}"]
    for n in range(1, 30):
        lines.append(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 8)}]}}")
    return ("\n".join(lines) + f"\n{text}").encode()


def _line(old: str, new: str) -> Callable[[str], bytes]:
    def change(text: str) -> bytes:
        assert old in text
        return text.replace(old, new).encode("utf-8", "surrogatepass")

    return change


#: What is done to mixing.yaml, the answer.
YAML_TEXTS: dict[str, tuple[Callable[[str], bytes], bool | None]] = {
    "aliases that multiply": (_bomb, False),
    "many aliases that multiply": (lambda t: _bomb(t, depth=40, width=3), False),
    "merge keys that multiply": (_merge_bomb, False),
    "aliases of itself": (lambda t: b"a: &a [*a]\n" + t.encode(), False),
    "a key of itself": (lambda t: b"? &a [*a]\n: 1\n" + t.encode(), False),
    "a key that multiplies": (lambda t: _bomb("? *a8\n: 1\n" + t), False),
    "alias": (_line("max_restarts: 2", "max_restarts: &two 2\n  <<: {}"), True),
    "5,000 digits": (_line("max_restarts: 2", f"max_restarts: {'9' * 5000}"), False),
    "4,000 digits": (_line("max_restarts: 2", f"max_restarts: {'9' * 4000}"), False),
    "5,000 digits of a radius": (_line("core: 2.5", f"core: {'9' * 5000}"), False),
    "5,000 decimals of a radius": (_line("core: 2.5", f"core: 2.{'5' * 5000}"), None),
    "deep lists": (lambda t: b"a: " + b"[" * 100_000 + t.encode(), False),
    "deep lists, closed": (lambda t: b"a: " + b"[" * 5000 + b"]" * 5000 + b"\n" + t.encode(), False),
    "deep mappings": (lambda t: b"{a: " * 20_000, False),
    "deep blocks": (lambda t: b"\n".join(b" " * n + b"a:" for n in range(1200)), False),
    "keys twice": (lambda t: t.encode() + b"\nseeds: [1]\n", False),
    "tab": (_line("  core:", "\tcore:"), False),
    "python object": (lambda t: b"a: !!python/object/apply:os.system [touch pwned]\n" + t.encode(), False),
    "python name": (_line("structure: init.extxyz", "structure: !!python/name:os.system"), False),
    "own tag": (_line("structure: init.extxyz", "structure: !env HOME"), False),
    "tag of a number": (_line("max_restarts: 2", "max_restarts: !!int x"), False),
    "tag of a truth": (_line("remove_net_force: true", "remove_net_force: !!bool maybe"), False),
    "tag of a date": (_line("structure: init.extxyz", "structure: !!timestamp 2026-13-45"), False),
    "tag of bytes": (_line("structure: init.extxyz", "structure: !!binary aW5pdA=="), False),
    "tag of a set": (_line("seeds:", "seeds: !!set {0}\nx:"), False),
    "date": (_line("structure: init.extxyz", "structure: 2026-13-45"), False),
    "octal": (_line("max_restarts: 2", "max_restarts: 0o17"), False),
    "sexagesimal": (_line("max_restarts: 2", "max_restarts: 1:30"), False),
    "digits of another script": (_line("max_restarts: 2", "max_restarts: ٣"), False),
    "mixed digits": (_line("max_restarts: 2", "max_restarts: 1٣"), False),
    "underscores": (_line("max_restarts: 2", "max_restarts: 1_0"), None),
    "yes": (_line("remove_net_force: true", "remove_net_force: yes"), True),
    "comment": (lambda t: b"# \xc3\xbc\n" + t.encode(), True),
    "windows": (lambda t: t.replace("\n", "\r\n").encode(), True),
    "byte order mark": (lambda t: b"\xef\xbb\xbf" + t.encode(), None),
    "utf-16": (lambda t: t.encode("utf-16"), False),
    "latin-1": (lambda t: b"# \xe9\n" + t.encode(), False),
    "NUL": (lambda t: t.encode() + b"\0", False),
    "NUL in quotes": (_line("init.extxyz", '"init\\0.extxyz"'), False),
    "surrogate": (_line("init.extxyz", '"\\ud800.extxyz"'), False),
    "escape": (_line("init.extxyz", '"\\e[31minit.extxyz"'), False),
    "two documents": (lambda t: t.encode() + b"\n---\n" + t.encode(), False),
    "empty": (lambda t: b"", False),
    "spaces": (lambda t: b" \n" * 1000, False),
    "a word": (lambda t: b"hello", False),
    "a list": (lambda t: b"- 1\n- 2\n", False),
    "null": (lambda t: b"null", False),
    "nothing but a key": (lambda t: b"?", False),
    "very long": (lambda t: t.encode() + b"#" * 3_000_000, False),
    "very long text": (_line("init.extxyz", "x" * 500_000), False),
    "a million seeds": (lambda t: b"seeds: [" + b"1," * 1_000_000 + b"]\n", False),
    "100,000 seeds": (lambda t: b"seeds: [" + b"1," * 100_000 + b"]\n", False),
    "100,000 keys": (lambda t: t.encode() + b"".join(b"k%d: 1\n" % n for n in range(80_000)), False),
}  # fmt: skip
