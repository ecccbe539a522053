"""FedDetect as the paper's first code has it: Algorithm 1 on the last mini-batch's loss."""

from fedgan.core.update import ClientUpdate
from fedgan.defenses._loss_forest import LossForest


class FedDetectCode(LossForest):
    """The loss that clients report is the absolute generator loss of their last mini-batch (``scripts/vanilla.py``)."""

    name = "feddetect_code"

    def loss_of(self, update: ClientUpdate) -> float:
        """|l_G| of the last local step."""
        return abs(update.metrics["loss_g_last"])
