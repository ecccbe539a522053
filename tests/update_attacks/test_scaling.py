import torch

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks.scaling import Scaling


def test_by_hand() -> None:
    """G 1, X 1.5, factor 4: 1 + 4 (1.5 - 1) = 3; buffers stay as they were trained."""
    start = {"w": torch.tensor([1.0]), "running_var": torch.tensor([1.0])}
    trained = ClientUpdate(2, 8, {"w": torch.tensor([1.5]), "running_var": torch.tensor([0.9])}, {})
    (sent,) = Scaling(factor=4.0).alter([trained], [trained], Round(0, start, frozenset({"w"}), num_clients=4))
    assert {name: tensor.item() for name, tensor in sent.state.items()} == {
        "w": 3.0,
        "running_var": trained.state["running_var"].item(),
    }
    assert sent.client_id == 2
