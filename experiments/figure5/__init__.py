"""Figure 5: images of the defended generators, ISIC.

python -m experiments.figure5 scale=paper isic=PATH
"""

from experiments.reproduction.grids import Grid
from experiments.reproduction.plan import DEFENSES

ARTEFACT = Grid("figure5", "the defenses by trigger size", data="isic", defenses=DEFENSES)
