"""What a run says of its attackers at its start."""

import pytest
import torch

from fedgan.attacks.base import Attack
from fedgan.attacks.white_square import WhiteSquare
from fedgan.config.building.attackers import in_words
from fedgan.core.images import ImageSet
from fedgan.federated.data import FederatedData, share_out
from fedgan.partitions.iid import IID
from fedgan.update_attacks.base import UpdateAttack
from fedgan.update_attacks.scaling import Scaling


def dealt(attack: Attack, *malicious: int) -> FederatedData:
    images = ImageSet(torch.zeros(32, 1, 16, 16, dtype=torch.uint8), torch.arange(32) % 2, ("a", "b"))
    return share_out(images, IID(), attack, frozenset(malicious), num_clients=4, seed=0)


@pytest.mark.parametrize(
    ("attack", "update_attack", "malicious", "said"),
    [
        (Attack(), UpdateAttack(), (), "none"),
        (
            WhiteSquare(size=4),
            UpdateAttack(),
            (2,),
            "client 2 of 4: white_square of 4 x 4 pixels at the bottom right on 8 of 8 images",
        ),
        (
            WhiteSquare(size=4, start=1, stop=5, every=2),
            Scaling(factor=4, start=2),
            (0, 3),
            "clients 0, 3 of 4: white_square of 4 x 4 pixels at the bottom right on 16 of 16 images from round 1 to 4, "
            "every 2 rounds and updates scaled by 4 from round 2",
        ),
        (Attack(), Scaling(factor=4, stop=3), (1,), "client 1 of 4: updates scaled by 4 from round 0 to 2"),
        (Attack(), Scaling(factor=4), (), "none, the control of updates scaled by 4"),
    ],
)
def test_who_attacks_with_what_and_when(
    attack: Attack, update_attack: UpdateAttack, malicious: tuple[int, ...], said: str
) -> None:
    assert in_words(attack, update_attack, dealt(attack, *malicious)) == said


class Zeros(UpdateAttack):
    """Written without a call of the base class's __init__, as a user may."""

    def __init__(self, *, strength: float) -> None:
        self.strength = strength


class Black(Attack):
    """Likewise."""

    def __init__(self, *, share: float) -> None:
        self.share = share


def test_an_attack_that_leaves_init_to_itself_acts_in_every_round() -> None:
    for attack in (Zeros(strength=1.0), Black(share=1.0)):
        assert [attack.window.covers(t) for t in range(3)] == [True] * 3
    assert Zeros(strength=1.0).knowledge == "own"
