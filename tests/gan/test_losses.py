"""Losses against torch's own binary cross-entropy."""

import math

import pytest
import torch
import torch.nn.functional as F

from fedgan.gan.losses import NonSaturating


def test_nonsaturating_is_binary_cross_entropy_on_probabilities() -> None:
    real, fake = torch.tensor([0.3, -1.2, 4.0]), torch.tensor([2.0, -0.5])
    d_loss = F.binary_cross_entropy(real.sigmoid(), torch.ones(3))
    d_loss = d_loss + F.binary_cross_entropy(fake.sigmoid(), torch.zeros(2))
    g_loss = F.binary_cross_entropy(fake.sigmoid(), torch.ones(2))
    loss = NonSaturating()
    torch.testing.assert_close(loss.discriminator(real, fake), d_loss)
    torch.testing.assert_close(loss.generator(fake), g_loss)


def test_nonsaturating_at_equilibrium() -> None:
    undecided = torch.zeros(4)
    assert NonSaturating().discriminator(undecided, undecided).item() == pytest.approx(2 * math.log(2))


def test_nonsaturating_stays_finite_and_does_not_saturate() -> None:
    fake = torch.tensor([-200.0], requires_grad=True)
    loss = NonSaturating().generator(fake)
    loss.backward()
    assert loss.item() == pytest.approx(200.0)  # a sigmoid first would give log 0
    assert fake.grad is not None
    assert fake.grad.item() == pytest.approx(-1.0)  # log(1 - D) would give 0 here


def test_both_sides_pull_against_each_other() -> None:
    loss = NonSaturating()
    real, fake = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    d_real, d_fake = torch.autograd.grad(loss.discriminator(real, fake), (real, fake))
    (g_fake,) = torch.autograd.grad(loss.generator(fake), fake)
    assert (d_real < 0).all()  # D raises the real images' logits,
    assert (d_fake > 0).all()  # lowers the synthetic ones',
    assert (g_fake < 0).all()  # which G raises
