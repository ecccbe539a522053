"""Figure 3: images of the attacked generators, ISIC.

python -m experiments.figure3 scale=paper isic=PATH
"""

from experiments.reproduction.grids import Grid
from experiments.reproduction.plan import NONE

ARTEFACT = Grid("figure3", "the attack by trigger size", data="isic", defenses=(NONE,))
