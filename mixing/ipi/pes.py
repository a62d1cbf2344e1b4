"""The mixing layer inside i-PI: a PES class for ``<ffdirect><pes>custom</pes>``.

A file beside the input, named in ``<pes_path>``, holds two lines (i-PI wants the
class in a file of the user's)::

    from mixpi.ipi_pes import MixingPES
    __DRIVER_NAME__, __DRIVER_CLASS__ = "mixpi", "MixingPES"

and ``<parameters>{config: mixing.yaml}</parameters>`` names the configuration.
"""

from __future__ import annotations

from typing import Any

from ipi.pes.dummy import Dummy_driver

from ..errors import MixpiError
from ..sockets.pool import PoolStopped
from .layer import Layer
from .session import fail, has_failed, join, leave


class MixingPES(Dummy_driver):
    """Forces of pools of drivers, as one i-PI potential.

    The pools listen from the first evaluation on. All beads share one region
    (:func:`mixpi.regions.growth.union`) and are computed at the same time, by as many drivers
    as there are, however i-PI hands them over.

    Parameters
    ----------
    config : str
        The YAML file, relative to where i-PI runs.
    part : {"force", "cheap", "delta"}
        What it computes (:data:`mixpi.blend.levels.PARTS`): the blended forces; or, as one of
        two, the cheap forces, and what the expensive ones differ by near the seeds.
    """

    def __init__(
        self, config: str = "mixing.yaml", part: str = "force", *args: Any, **kwargs: Any
    ) -> None:
        self._joined = join(config, part)
        super().__init__(*args, **kwargs)

    def check_parameters(self) -> None:
        """Make what needs neither i-PI nor sockets; called by i-PI's base class."""
        self._layer = Layer(self._joined, self._joined.parts[-1], pes=self)

    def compute(self, cell: Any, pos: Any) -> Any:
        """Evaluate one structure, or a list of them (i-PI's units and conventions)."""
        if has_failed():
            leave()  # i-PI asks again while it is being stopped
        try:
            if isinstance(cell, list):
                return self._layer.evaluate(cell, pos)
            return self._layer.evaluate([cell], [pos])[0]
        except PoolStopped:
            leave()
        except MixpiError as error:
            fail(str(error))
        except Exception as error:
            fail(f"unexpected {type(error).__name__} in the mixing layer: {error}")
            raise

    def compute_structure(self, cell: Any, pos: Any) -> Any:
        """One structure; the name that i-PI's base class has for it."""
        return self.compute(cell, pos)
