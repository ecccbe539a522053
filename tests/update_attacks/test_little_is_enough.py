import numpy as np
import pytest
from scipy.stats import norm

from fedgan.update_attacks.little_is_enough import LittleIsEnough, critical_z
from tests.helpers.updates import around, client, delta_of

ROUND = around()
HONEST = [client(i, delta, ROUND) for i, delta in ((0, [1.0, 2.0]), (2, [3.0, 2.0]), (3, [2.0, 5.0]))]
OWN = client(1, [70.0, -5.0], ROUND)
SIZES = {"num_clients": 4, "num_malicious": 1, "clients_per_round": 4, "rounds": 2}


def test_by_hand() -> None:
    """mu (2, 3), sigma (1, 1.7321) with ddof 1; with ddof 0, as in the authors' code, it would be (0.7753, 0.8787)."""
    (sent,) = LittleIsEnough().alter([OWN], [OWN, *HONEST], ROUND)
    assert delta_of(sent, ROUND).numpy() == pytest.approx([0.5, 0.4019], abs=1e-4)


@pytest.mark.parametrize("knowledge", ["own", "all"])
def test_against_numpy(knowledge: str) -> None:
    rng, wide = np.random.default_rng(1), around(width=20, num_clients=9)
    deltas = rng.normal(size=(9, 20))
    updates = [client(i, delta.tolist(), wide) for i, delta in enumerate(deltas)]
    own = updates[2:6]
    basis = deltas[2:6] if knowledge == "own" else deltas[[0, 1, 6, 7, 8]]
    attack = LittleIsEnough(z=0.7, knowledge=knowledge)  # type: ignore[arg-type]
    for sent in attack.alter(own, own if knowledge == "own" else updates, wide):
        expected = basis.mean(axis=0) - 0.7 * basis.std(axis=0, ddof=1)
        np.testing.assert_allclose(delta_of(sent, wide).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("clients", "malicious", "z"), [(4, 1, -0.43), (8, 2, 0.0), (10, 2, 0.0), (20, 4, 0.157), (50, 24, 1.426)]
)
def test_the_papers_formula(clients: int, malicious: int, z: float) -> None:
    assert critical_z(clients, malicious) == pytest.approx(z, abs=2e-3)
    supporters = np.floor(clients / 2 + 1) - malicious
    oracle = norm.ppf((clients - malicious - supporters) / (clients - malicious))
    assert critical_z(clients, malicious) == pytest.approx(oracle, abs=1e-12)


def test_the_formula_sets_z_where_there_are_many_clients() -> None:
    attack = LittleIsEnough(z=None)
    assert str(attack) == "a little is enough with z by formula"
    attack.setup(num_clients=20, num_malicious=4, clients_per_round=20, rounds=2)
    (sent,) = attack.alter([OWN], [OWN, *HONEST], ROUND)
    assert delta_of(sent, ROUND).numpy() == pytest.approx([2 - 0.15731, 3 - 0.15731 * 3**0.5], abs=1e-4)
    assert str(attack) == "a little is enough with z 0.157311"
    fixed = LittleIsEnough()
    fixed.setup(**SIZES)
    assert fixed.z == 1.5, "the default"


@pytest.mark.parametrize(
    ("settings", "sizes", "line"),
    [
        (
            {"z": None},
            SIZES,
            "z must be a number above 0: with 1 malicious of 4 clients the formula of null gives -0.431, no attack; "
            "got null",
        ),
        (
            {"z": None},
            {**SIZES, "num_clients": 10, "num_malicious": 2, "clients_per_round": 10},
            "z must be a number above 0: with 2 malicious of 10 clients the formula of null gives 0, no attack; "
            "got null",
        ),
        (
            {"z": None},
            {**SIZES, "num_clients": 20, "num_malicious": 4, "clients_per_round": 19},
            "z must be a number above 0 with fl.clients_per_round=19 of fl.num_clients=20: the formula of null is for "
            "rounds of all clients; got null",
        ),
        (
            {"knowledge": "own"},
            SIZES,
            "knowledge must be all with fewer than 2 malicious clients: the spread of one update is 0; got 'own'",
        ),
        (
            {},
            {**SIZES, "clients_per_round": 2},
            "fl.clients_per_round must be at least 3, so that the attack has two updates to take a spread from; got 2",
        ),
        (
            {"knowledge": "own"},
            {**SIZES, "num_clients": 9, "num_malicious": 3, "clients_per_round": 1},
            "fl.clients_per_round must be at least 2, so that the attack has two updates to take a spread from; got 1",
        ),
    ],
)
def test_what_it_cannot_act_in_is_refused(settings: dict[str, object], sizes: dict[str, int], line: str) -> None:
    with pytest.raises(ValueError) as error:
        LittleIsEnough(**settings).setup(**sizes)  # type: ignore[arg-type]
    assert str(error.value) == line


def test_it_rests_where_one_update_has_no_spread() -> None:
    attack, two = LittleIsEnough(), [OWN, client(4, [1.0, 1.0], ROUND)]
    assert attack.rests([OWN], [OWN, HONEST[0]], ROUND), "one honest client takes part"
    assert attack.rests([OWN], [OWN], ROUND)
    assert not attack.rests([OWN], [OWN, *HONEST[:2]], ROUND)
    assert not attack.rests(two, two, ROUND), "two malicious ones alone: their own deviation"
    attack.knowledge = "own"
    attack.setup(num_clients=5, num_malicious=2, clients_per_round=2, rounds=2)
