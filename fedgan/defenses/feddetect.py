"""FedDetect exactly as in the paper (Algorithm 1 on Eq. 6): clients with outlying generator losses lose weight."""

from fedgan.core.arguments import component
from fedgan.core.update import ClientUpdate
from fedgan.defenses._detector import Samples, with_loss
from fedgan.defenses._loss_forest import LossForest
from fedgan.gan.recipe import Recipe


@component
class FedDetect(LossForest):
    """The loss that clients report is Eq. 6, E_z[log(1 - D_i(G_i(z|y)))] of their final networks of the round.

    Each client measures it after its local training, over latents that it was not trained on. It takes an objective
    in which D gives a probability: not a Wasserstein critic (``defense=gradient_penalty``).

    Args:
        samples: latents over which a client takes the expectation, at least 1; rounded up to whole batches.
    """

    samples: Samples = 256

    name = "feddetect"

    def adapt(self, recipe: Recipe) -> Recipe:
        """Have the clients measure Eq. 6."""
        return with_loss(recipe, "loss_g_final", self.samples)

    def loss_of(self, update: ClientUpdate) -> float:
        """Eq. 6."""
        return update.metrics["loss_g_final"]
