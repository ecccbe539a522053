import numpy as np
import torch

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.median import Median


def test_numpy_agrees_also_for_an_even_number_of_clients() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 4, 7):
        values = rng.normal(size=(count, 3, 2)).astype(np.float32)
        updates = [
            ClientUpdate(i, 8, {"w": torch.from_numpy(value), "n": torch.tensor(i)}, {})
            for i, value in enumerate(values)
        ]
        round_ = Round(0, {}, frozenset({"w"}), num_clients=count)
        aggregate = Median().aggregate(updates, dict.fromkeys(range(count), 1 / count), round_)
        np.testing.assert_allclose(aggregate.state["w"], np.median(values.astype(np.float64), axis=0), rtol=1e-6)
        assert aggregate.weights is None
        assert aggregate.state["n"].dtype == torch.int64


def test_the_textbook_case() -> None:
    updates = [ClientUpdate(i, 8, {"w": torch.tensor([value])}, {}) for i, value in enumerate((0.0, 1.0, 2.0, 9.0))]
    equal = dict.fromkeys(range(4), 0.25)
    assert Median().aggregate(updates, equal, Round(0, {}, frozenset({"w"}), num_clients=4)).state["w"].item() == 1.5
