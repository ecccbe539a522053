"""Model reconstruction (Section 4.3.1): after training, the server fine-tunes the generator on benign images."""

from fedgan.core.arguments import Count, NonNegative, component
from fedgan.defenses.base import Defense, ServerTraining


@component
class Reconstruction(Defense):
    """Fine-tuning on clean images is hoped to make the generator forget the trigger (Liu et al. 2018, Fine-Pruning).

    The server has its own real images, taken from the training images before the clients share them out, none
    of them also a client's or a test image. After the last round it trains on as a single client would, from the
    generator that would be released and a fresh discriminator (clients never share theirs), one epoch per round.

    Args:
        images_per_class: real images of each class that the server has (the paper: 500).
        epochs: how long it fine-tunes (the paper: 200); 0 is the control, which sets the same images apart and
            leaves the generator as it is.
    """

    images_per_class: Count = 500
    epochs: NonNegative = 200

    def server_training(self) -> ServerTraining:
        """The server's images and epochs."""
        return ServerTraining(self.images_per_class, rounds_after=self.epochs)
