"""Which tables and figures the paper has, and what each is about."""

from experiments.paper.artifact import Artifact
from experiments.paper.curves import Curve
from experiments.paper.grids import Grid
from experiments.paper.plan import DEFENSES, NONE
from experiments.paper.tables import Table

ATTACK, DEFENDED = "the attack by trigger size", "the defenses by trigger size"
ARTIFACTS: dict[str, Artifact] = {
    artifact.name: artifact
    for artifact in (
        Table("table1", ATTACK, data="isic", defenses=(NONE,)),
        Table("table2", ATTACK, data="chestx", defenses=(NONE,)),
        Table("table3", DEFENDED, data="isic", defenses=DEFENSES),
        Table("table4", DEFENDED, data="chestx", defenses=DEFENSES),
        Grid("figure3", ATTACK, data="isic", defenses=(NONE,)),
        Grid("figure4", ATTACK, data="chestx", defenses=(NONE,)),
        Grid("figure5", DEFENDED, data="isic", defenses=DEFENSES),
        Grid("figure6", DEFENDED, data="chestx", defenses=DEFENSES),
        Curve("figure7", "accuracy by number of real training images", data=("isic", "chestx"), size=32),
    )
}
