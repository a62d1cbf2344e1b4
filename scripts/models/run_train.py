"""``mace_run_train``, with the repulsion of nuclei as it was published.

MACE's own (``--pair_repulsion``) has 0.4 times that screening length: two nuclei at the distance
of a collision hardly see each other, and all is left to the network.
"""

from __future__ import annotations

from mace.cli.run_train import main
from mace.modules.radial import ZBLBasis


def with_published_screening(start):
    def initialise(self, *args, **kwargs) -> None:
        start(self, *args, **kwargs)
        # J. F. Ziegler, J. P. Biersack, U. Littmark, 1985: 0.8854 a_0 / (Z1^0.23 + Z2^0.23)
        self.a_prefactor.fill_(0.8854)
        self.a_exp.fill_(0.23)

    return initialise


if __name__ == "__main__":
    ZBLBasis.__init__ = with_published_screening(ZBLBasis.__init__)
    main()
