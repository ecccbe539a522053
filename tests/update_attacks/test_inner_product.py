import pytest
import torch

from fedgan.core.update import weighted_mean
from fedgan.update_attacks.inner_product import InnerProduct
from tests.helpers.updates import around, client, delta_of

ROUND = around()
HONEST = [client(i, delta, ROUND) for i, delta in ((0, [0.0, 2.0]), (2, [1.0, 1.0]), (3, [2.0, 3.0]))]  # mean (1, 2)
OWN = client(1, [70.0, -5.0], ROUND)


@pytest.mark.parametrize(("epsilon", "aggregate"), [(0.5, [0.625, 1.25]), (4.0, [-0.25, -0.5]), (3.0, [0.0, 0.0])])
def test_the_mean_turns_where_epsilon_is_above_three_of_one_in_four(epsilon: float, aggregate: list[float]) -> None:
    sent = InnerProduct(epsilon=epsilon).alter([OWN], [OWN, *HONEST], ROUND)
    mean = weighted_mean([update.state for update in [*HONEST, *sent]], [1.0] * 4)
    assert (torch.cat([mean["first"], mean["rest"]]) - 1.0).tolist() == aggregate


def test_all_send_the_same_and_the_malicious_are_no_part_of_the_mean() -> None:
    own = [OWN, client(4, [-9.0, 9.0], ROUND)]
    sent = InnerProduct(epsilon=0.5).alter(own, [*HONEST, *own], ROUND)
    assert [delta_of(update, ROUND).tolist() for update in sent] == [[-0.5, -1.0]] * 2
    assert [update.client_id for update in sent] == [1, 4]


def test_who_knows_only_their_own_takes_the_mean_of_these() -> None:
    own = [OWN, client(4, [-10.0, 9.0], ROUND)]
    attack = InnerProduct(epsilon=0.5, knowledge="own")
    assert [delta_of(update, ROUND).tolist() for update in attack.alter(own, own, ROUND)] == [[-15.0, -1.0]] * 2
    (alone,) = InnerProduct(epsilon=0.5).alter([OWN], [OWN], ROUND)  # nobody else takes part
    assert delta_of(alone, ROUND).tolist() == [-35.0, 2.5]


def test_in_words() -> None:
    assert str(InnerProduct()) == "inner product manipulation with epsilon 0.5"
