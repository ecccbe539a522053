"""Figure 4: images of the attacked generators, ChestX.

python -m experiments.figure4 scale=small chestx=PATH
"""

from experiments.reproduction.grids import Grid
from experiments.reproduction.plan import NONE

ARTEFACT = Grid("figure4", "the attack by trigger size", data="chestx", defenses=(NONE,))
