from dataclasses import replace

import pytest
import torch

from fedgan.update_attacks.free_rider import FreeRider
from tests.helpers.updates import around, client, delta_of

BEFORE, NOW = around(base=2.0), around(base=3.0, index=1)
OWN = client(1, [7.0, 8.0], NOW, {"loss_g": 9.0})
HONEST = [client(i, [1.0, 1.0], NOW, {"loss_g": loss}) for i, loss in ((0, 2.0), (2, 1.9), (3, 2.5))]


@pytest.mark.parametrize(("form", "state"), [("unchanged", [3.0, 3.0]), ("previous_step", [4.0, 4.0])])
def test_by_hand(form: str, state: list[float]) -> None:
    """G_t 3, G_{t-1} 2: 3, or 4; whatever was trained."""
    attack = FreeRider(form=form)  # type: ignore[arg-type]
    attack.watch(BEFORE)
    attack.watch(NOW)
    (sent,) = attack.alter([OWN], [OWN, *HONEST], NOW)
    assert (delta_of(sent, NOW) + 3.0).tolist() == state


def test_in_round_0_the_last_step_is_none() -> None:
    attack = FreeRider()
    attack.watch(BEFORE)
    own = client(1, [7.0, 8.0], BEFORE)
    (sent,) = attack.alter([own], [own], BEFORE)
    assert delta_of(sent, BEFORE).tolist() == [0.0, 0.0]
    again = FreeRider()
    again.load_state_dict(attack.state_dict())
    again.watch(NOW)
    (sent,) = again.alter([OWN], [OWN], NOW)
    assert delta_of(sent, NOW).tolist() == [1.0, 1.0], "resumed in round 1"


@pytest.mark.parametrize("form", ["unchanged", "previous_step", "noise"])
def test_a_run_of_one_round_is_enough(form: str) -> None:
    """It sends G_t in round 0 too, whatever its form."""
    attack = FreeRider(form=form)  # type: ignore[arg-type]
    attack.setup(num_clients=4, num_malicious=1, clients_per_round=4, rounds=1)
    attack.watch(BEFORE)
    (sent,) = attack.alter([OWN], [OWN, *HONEST], BEFORE)
    assert (delta_of(sent, BEFORE).abs() < 0.1).all()


@pytest.mark.parametrize(("index", "sd"), [(0, 0.25), (3, 0.25 / 16)])
def test_the_noise_fades_from_the_first_round_on(index: int, sd: float) -> None:
    wide = around(width=200_000, index=index)
    own = [client(i, [1.0] * 200_000, wide) for i in (1, 2)]
    one, two = (delta_of(sent, wide) for sent in FreeRider(form="noise", noise=0.25, decay=2.0).alter(own, own, wide))
    assert float(one.std()) == pytest.approx(sd, rel=0.01)
    assert float(one.mean()) == pytest.approx(0.0, abs=sd / 100)
    assert abs(float(torch.corrcoef(torch.stack([one, two]))[0, 1])) < 0.01, "each free rider has its own"


def test_its_losses_are_like_honest_ones_if_it_knows_any() -> None:
    for attack, known, loss in (
        (FreeRider(form="unchanged"), [OWN, *HONEST], None),
        (FreeRider(form="unchanged", knowledge="own"), [OWN], 9.0),
        (FreeRider(form="unchanged"), [OWN], 9.0),
    ):
        (sent,) = attack.alter([OWN], known, NOW)
        if loss is None:
            assert 1.9 <= sent.metrics["loss_g"] <= 2.5
        else:
            assert sent.metrics == {"loss_g": loss}


def test_the_losses_of_two_free_riders_stay_within_the_honest_range() -> None:
    """Honest ones are 1.9 to 2.5. What the other free rider had trained, 9 and -50, is nobody's model."""
    own = [OWN, client(4, [1.0, 2.0], NOW, {"loss_g": -50.0})]
    attack = FreeRider(form="unchanged")
    losses = [
        sent.metrics["loss_g"] for t in range(100) for sent in attack.alter(own, [*own, *HONEST], replace(NOW, index=t))
    ]
    assert 1.9 <= min(losses) < 1.92
    assert 2.4 < max(losses) <= 2.5


def test_only_who_repeats_the_servers_steps_remembers_them() -> None:
    for form in ("unchanged", "noise", "previous_step"):
        attack = FreeRider(form=form)  # type: ignore[arg-type]
        attack.watch(replace(NOW))
        assert (attack.state_dict()["sent_out"] is not None) == (form == "previous_step")


def test_in_words() -> None:
    assert str(FreeRider()) == "free riding (previous_step)"
