"""Table 4: LPIPS of the defended generators, ChestX.

python -m experiments.table4 scale=small chestx=PATH
"""

from experiments.reproduction.plan import DEFENSES
from experiments.reproduction.tables import Table

ARTEFACT = Table("table4", "the defenses by trigger size", data="chestx", defenses=DEFENSES)
