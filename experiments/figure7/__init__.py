"""Figure 7: accuracy of classifiers trained with synthetic images, by number of real ones.

python -m experiments.figure7 scale=small chestx=PATH
"""

from experiments.reproduction.curves import Curve

ARTEFACT = Curve(
    "figure7",
    "accuracy by number of real training images",
    data=("isic", "chestx"),
    size=32,
)
