"""Table 3: LPIPS of the defended generators, ISIC.

python -m experiments.table3 scale=paper isic=PATH
"""

from experiments.reproduction.plan import DEFENSES
from experiments.reproduction.tables import Table

ARTEFACT = Table("table3", "the defenses by trigger size", data="isic", defenses=DEFENSES)
