"""Table 1: LPIPS of the attacked generators, ISIC.

python -m experiments.table1 scale=paper isic=PATH
"""

from experiments.reproduction.plan import NONE
from experiments.reproduction.tables import Table

ARTEFACT = Table("table1", "the attack by trigger size", data="isic", defenses=(NONE,))
