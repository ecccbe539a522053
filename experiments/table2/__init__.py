"""Table 2: LPIPS of the attacked generators, ChestX.

python -m experiments.table2 scale=small chestx=PATH
"""

from experiments.reproduction.plan import NONE
from experiments.reproduction.tables import Table

ARTEFACT = Table("table2", "the attack by trigger size", data="chestx", defenses=(NONE,))
