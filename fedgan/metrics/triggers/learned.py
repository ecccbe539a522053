"""Learned emission: the share of synthetic images that a small network takes for poisoned."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedgan.core.arguments import Count, Probability, Seed, Share, component
from fedgan.core.rng import derive_seed, keyed_generator
from fedgan.core.trigger import Trigger
from fedgan.metrics.classifier import ConvNet, one_thread
from fedgan.metrics.triggers.detector import Array, TriggerDetector


@component
class LearnedRate(TriggerDetector):
    """The share of synthetic images that a network takes for ones with the trigger, rather than clean ones.

    See ``TriggerDetector``; half of the clean real training images, without and with the trigger, train the network;
    the other half makes the threshold. Each batch has the same images in both forms: what they show says nothing then,
    and the network learns the difference sooner. The mean score is ``learned_score``, the log odds of the trigger.
    For triggers without a template, such as a warp, and for any other. It has seen real images alone: the blur of a
    synthetic image may look like that of a warped one, so compare with the control.

    Args:
        width: the first convolution's channels.
        steps: of training.
        batch_size: images per step, in each form.
        lr: AdamW's highest learning rate, warmed up to and annealed from in one cycle.
        seed: of the network's weights and batches.
    """

    width: Count = 16
    steps: Count = 300
    batch_size: Count = 32
    lr: Share = 5e-3
    seed: Seed = 0
    false_alarm: Probability = 0.02

    share, mean_score, held_out = "learned_emission", "learned_score", True

    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        """Train the network, on one thread of the CPU; the ambient random state stays as it was."""
        clean, stream = clean.cpu(), keyed_generator(self.seed, "learned", "batches")
        poisoned, labels = trigger.apply(clean), torch.arange(2).repeat_interleave(self.batch_size)
        self._model = self._build(channels=clean.shape[1])
        optimizer = torch.optim.AdamW(self._model.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps)
        with one_thread(), torch.enable_grad():
            for _ in range(self.steps):
                chosen = torch.randint(len(clean), (self.batch_size,), generator=stream)
                loss = functional.cross_entropy(self._model(torch.cat([clean[chosen], poisoned[chosen]])), labels)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        self._model.eval()

    @torch.inference_mode()
    def scores(self, images: Tensor) -> Array:
        """The log odds of the trigger."""
        with one_thread():
            logits = torch.cat([self._model(chunk.cpu()).double() for chunk in torch.split(images, 256)])
        return np.asarray((logits[:, 1] - logits[:, 0]).numpy())

    def _build(self, channels: int) -> ConvNet:
        with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the ambient stream
            torch.manual_seed(derive_seed(self.seed, "learned", "weights"))
            return ConvNet(channels=channels, num_classes=2, width=self.width, feature_dim=64)
