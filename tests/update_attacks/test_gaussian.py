from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from fedgan.update_attacks.gaussian import Gaussian
from tests.helpers.updates import around, client, delta_of

WIDE = around(width=1_000_000)
TRAINED = client(1, np.random.default_rng(0).uniform(-3, 1, 1_000_000).tolist(), WIDE)
OTHER = replace(TRAINED, client_id=2)


@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_the_noise_is_as_long_as_stated(factor: float) -> None:
    """A million coordinates: 1 within 0.003; of the update, not of the model (N(0, 1) in place of the model is)."""
    (sent,) = Gaussian(factor=factor).alter([TRAINED], [TRAINED], WIDE)
    noise, delta = delta_of(sent, WIDE), delta_of(TRAINED, WIDE)
    assert float(noise.norm() / delta.norm()) == pytest.approx(factor, rel=0.003)
    assert float(noise @ delta / noise.norm() / delta.norm()) == pytest.approx(0.0, abs=0.005)
    assert kstest(noise.numpy() / float(noise.std()), "norm").pvalue > 0.001


def test_noise_on_top_leaves_what_was_learned() -> None:
    (sent,) = Gaussian(factor=0.5, form="add").alter([TRAINED], [TRAINED], WIDE)
    delta = delta_of(TRAINED, WIDE)
    noise = delta_of(sent, WIDE) - delta
    assert float(noise.norm() / delta.norm()) == pytest.approx(0.5, rel=0.003)
    assert float(noise @ delta / noise.norm() / delta.norm()) == pytest.approx(0.0, abs=0.005)


def test_each_client_and_round_has_its_own_noise_and_the_same_again() -> None:
    attack = Gaussian()
    one, two = (delta_of(sent, WIDE) for sent in attack.alter([TRAINED, OTHER], [], WIDE))
    (alone,) = attack.alter([OTHER], [], WIDE)
    assert torch.equal(delta_of(alone, WIDE), two), "whoever else takes part"
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.005
    (later,) = attack.alter([TRAINED], [], replace(WIDE, index=1))
    assert abs(np.corrcoef(one, delta_of(later, WIDE))[0, 1]) < 0.005


def test_single_precision_stays_single() -> None:
    narrow = around()
    reference = {name: tensor.float() for name, tensor in narrow.reference.items()}
    trained = replace(client(1, [1.0, 2.0], narrow), state={n: t + 1 for n, t in reference.items()})
    (sent,) = Gaussian().alter([trained], [], replace(narrow, reference=reference))
    assert {tensor.dtype for tensor in sent.state.values()} == {torch.float32}


def test_in_words() -> None:
    assert str(Gaussian(factor=2)) == "noise in place of updates, 2 times as long"
    assert str(Gaussian(form="add")) == "noise on top of updates, 1 times as long"
