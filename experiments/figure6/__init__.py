"""Figure 6: images of the defended generators, ChestX.

python -m experiments.figure6 scale=small chestx=PATH
"""

from experiments.reproduction.grids import Grid
from experiments.reproduction.plan import DEFENSES

ARTEFACT = Grid("figure6", "the defenses by trigger size", data="chestx", defenses=DEFENSES)
