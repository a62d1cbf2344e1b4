"""The words that say which atoms are the seeds, for people.

Apart from what understands them, so that a command line can be explained without loading that.
"""

#: What :func:`~mixpi.regions.seeds.select_seeds` takes.
GRAMMAR = """\
  species He                 all atoms of one or more elements
  near 5.4 5.4 5.4 within 4  atoms closer than 4 Å to a point (x y z in Å, as in the file)
  undercoordinated           atoms with fewer neighbours than is usual for their element:
                             around a vacancy, at a surface
  overcoordinated            atoms with more neighbours: around an interstitial
  undercoordinated within 3  the same with a cutoff (Å) of your own
  where z > 12 and species == He
                             atoms for which a condition holds (x, y, z in Å, as in the file;
                             species; index from 0; abs, sqrt, min, max; in, and, or, not)
  183 205 299                atoms by number, from 0; also [183, 205, 299]
  none                       no atoms: every force is cheap
  all                        all atoms: every force is expensive"""
