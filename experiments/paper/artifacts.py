"""Which tables and figures the paper has, and what each is about."""

from experiments.paper.artifact import Artifact
from experiments.paper.curves import Curve
from experiments.paper.grids import Grid
from experiments.paper.plan import CENTRALIZED, DEFENSES, NONE
from experiments.paper.tables import Table

ATTACK = "the attack by trigger size"
ALONE = f"{ATTACK}, and (not in the paper) centralized training"
DEFENDED = "the defenses by trigger size (not in the paper: FedDetect (code) and (mean), generator audit)"
CURVES = "accuracy by number of real training images (not in the paper: generator_audit, centralized)"
ARTIFACTS: dict[str, Artifact] = {
    artifact.name: artifact
    for artifact in (
        Table("table1", ALONE, data="isic", defenses=(CENTRALIZED,)),
        Table("table2", ALONE, data="chestx", defenses=(CENTRALIZED,)),
        Table("table3", DEFENDED, data="isic", defenses=DEFENSES),
        Table("table4", DEFENDED, data="chestx", defenses=DEFENSES),
        Grid("figure3", ATTACK, data="isic", defenses=(NONE,)),
        Grid("figure4", ATTACK, data="chestx", defenses=(NONE,)),
        Grid("figure5", DEFENDED, data="isic", defenses=DEFENSES),
        Grid("figure6", DEFENDED, data="chestx", defenses=DEFENSES),
        Curve("figure7", CURVES, data=("isic", "chestx"), size=32),
    )
}
