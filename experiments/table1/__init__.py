"""Table 1: LPIPS of the attacked generators, ISIC.

python -m experiments.table1 scale=small chestx=PATH
"""

from experiments.reproduction.plan import NONE
from experiments.reproduction.tables import Table

ARTEFACT = Table("table1", "Table 1: the attack by trigger size, ISIC", data="isic", defenses=(NONE,))
