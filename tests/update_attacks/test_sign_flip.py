import pytest
import torch

from fedgan.update_attacks.sign_flip import SignFlip
from tests.helpers.updates import around, client, delta_of


def test_by_hand() -> None:
    """G 1, X 1.5 and 0: 0.5 and 2; negating the whole model, as others do, would give -1.5."""
    round_ = around()
    trained = client(2, [0.5, -1.0], round_)
    (sent,) = SignFlip().alter([trained], [trained], round_)
    assert torch.cat([sent.state["first"], sent.state["rest"]]).tolist() == [0.5, 2.0]
    (twice,) = SignFlip(factor=2.0).alter([trained], [trained], round_)
    assert delta_of(twice, round_).tolist() == [-1.0, 2.0]


def test_in_words() -> None:
    assert str(SignFlip(factor=0.5)) == "updates turned around, times 0.5"


def test_a_factor_that_would_not_turn_anything_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^factor must be a number in \(0, inf\); got 0$"):
        SignFlip(factor=0)
