"""The coordinate median, and rules by coordinate in general."""

import numpy as np
import pytest
import torch

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.robust import gram
from fedgan.defenses.robust.coordinates import by_coordinate, middle, ordered
from fedgan.defenses.robust.median import Median
from tests.helpers.rules import TOY, step


@pytest.mark.parametrize("elements", [1, 7, 2**22])
def test_numpy_agrees_also_for_an_even_number_of_clients(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram, "_ELEMENTS", elements)
    rng = np.random.default_rng(0)
    for count in (3, 4, 7):
        values = rng.normal(size=(count, 3, 2)).astype(np.float32)
        updates = [
            ClientUpdate(i, 8, {"w": torch.from_numpy(value), "n": torch.tensor(i)}, {})
            for i, value in enumerate(values)
        ]
        round_ = Round(0, {}, frozenset({"w"}), num_clients=count)
        aggregate = Median().aggregate(updates, dict.fromkeys(range(count), 1 / count), round_)
        np.testing.assert_allclose(aggregate.state["w"], np.median(values.astype(np.float64), axis=0), rtol=1e-6)
        assert aggregate.state["w"].dtype == torch.float32
        assert aggregate.weights is None
        assert aggregate.state["n"].dtype == torch.int64


def test_the_textbook_case() -> None:
    """torch.median takes the lower of the two middle values, 1."""
    assert middle(torch.tensor([[0.0], [1.0], [2.0], [9.0]])).item() == 1.5
    assert step(Median(), TOY).tolist() == [1.0, 1.0]


def test_names_keep_their_order_and_whole_numbers_take_the_mean() -> None:
    states = [{"n": torch.tensor(n), "w": torch.tensor(float(n))} for n in (1, 2, 6, 7)]
    found = by_coordinate(states, middle)
    assert list(found) == ["n", "w"]
    assert (found["n"].item(), found["w"].item()) == (4, 4.0)
    assert found["w"].shape == ()


def test_columns_are_ordered_as_torch_orders_them() -> None:
    """Of many columns, with values that are equal, negative and not finite."""
    values = torch.randn(16, 1000, generator=torch.Generator().manual_seed(0)).double()
    values[3], values[5, :10], values[6, :10] = values[4], torch.inf, -torch.inf
    before = values.clone()
    assert torch.equal(ordered(values), values.sort(dim=0).values)
    assert torch.equal(values, before)
