"""FedDetect on a less noisy signal, not the paper's: Algorithm 1 on the mean generator loss of the local round."""

from fedgan.core.update import ClientUpdate
from fedgan.defenses._loss_forest import LossForest


class FedDetectMean(LossForest):
    """The loss that clients report is the mean of their generator loss over all local steps of the round.

    Neither the paper (Eq. 6) nor its code: it varies less from round to round and detects better
    (experiments/LOG.md, section 14), so nothing that is shown with it is shown of FedDetect.
    """

    name = "feddetect_mean"

    def loss_of(self, update: ClientUpdate) -> float:
        """The mean generator loss of the local round."""
        return update.metrics["loss_g"]
