"""Table 3: LPIPS of the defended generators, ISIC.

python -m experiments.table3 scale=small chestx=PATH
"""

from experiments.reproduction.plan import DEFENSES
from experiments.reproduction.tables import Table

ARTEFACT = Table("table3", "Table 3: the defences by trigger size, ISIC", data="isic", defenses=DEFENSES)
