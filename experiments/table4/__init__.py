"""Table 4: LPIPS of the defended generators, ChestX.

python -m experiments.table4 scale=small chestx=PATH
"""

from experiments.reproduction.plan import DEFENSES
from experiments.reproduction.tables import Table

ARTEFACT = Table("table4", "Table 4: the defences by trigger size, ChestX", data="chestx", defenses=DEFENSES)
