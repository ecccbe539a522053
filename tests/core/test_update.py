from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import LightningModule

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State, effective_clients, normalize, state_hash, weighted_mean
from fedgan.defenses import _loss_forest
from fedgan.defenses.feddetect import FedDetect
from fedgan.federated.federation import Federation
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform

steady = settings(derandomize=True, database=None, deadline=None)


def at(t: int) -> Round:
    return Round(t, {}, frozenset(), num_clients=4)


def states(count: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    rng = torch.Generator().manual_seed(seed)
    return [
        {"weight": torch.randn(3, 4, generator=rng), "steps": torch.tensor(10 * i), "half": torch.ones(2).half() * i}
        for i in range(count)
    ]


def test_equal_weights_give_the_mean() -> None:
    given_states = states(4)
    reference = np.mean([state["weight"].double().numpy() for state in given_states], axis=0).astype(np.float32)
    assert np.array_equal(weighted_mean(given_states, [1, 1, 1, 1])["weight"].numpy(), reference)


def test_weights_count_and_need_not_be_normalized() -> None:
    given_states = states(3)
    mean = weighted_mean(given_states, [2.0, 0.0, 6.0])["weight"]
    torch.testing.assert_close(mean, 0.25 * given_states[0]["weight"] + 0.75 * given_states[2]["weight"])


def test_dtypes_are_kept_and_whole_numbers_are_rounded_means() -> None:
    mean = weighted_mean(states(4), [1, 1, 1, 0.2])
    assert mean["steps"].dtype == torch.int64
    assert mean["steps"].item() == round((0 + 10 + 20 + 0.2 * 30) / 3.2)
    assert mean["half"].dtype == torch.float16


def test_weight_zero_has_no_say_in_any_tensor() -> None:
    kept, excluded = states(2)
    mean = weighted_mean([kept, excluded], [1.0, 0.0])
    assert all(torch.equal(mean[name], kept[name]) for name in kept)


@given(st.permutations(range(5)))
def test_order_does_not_matter(order: list[int]) -> None:
    given_states, weights = states(5), [0.1, 0.2, 0.3, 0.15, 0.25]
    straight = weighted_mean(given_states, weights)["weight"]
    shuffled = weighted_mean([given_states[i] for i in order], [weights[i] for i in order])["weight"]
    torch.testing.assert_close(straight, shuffled, rtol=1e-6, atol=1e-7)


class Inbox(Federation):
    """A federation that is nothing but the updates of one round, and keeps what the server makes of them."""

    def __init__(self, updates: Sequence[ClientUpdate]) -> None:
        LightningModule.__init__(self)
        self.updates, self.fine_tuning_start = list(updates), None

    def this_round(self) -> Round:
        return at(0)

    def propose(self, aggregate: State) -> None:
        self.aggregate = aggregate


@steady
@given(order=st.permutations(range(7)), seed=st.integers(0, 99))
def test_to_the_server_the_order_of_arrival_does_not_matter_to_the_bit(order: list[int], seed: int) -> None:
    arrived = [ClientUpdate(i, 10, state, {"loss_g": float(i)}) for i, state in enumerate(states(7, seed))]

    def aggregate(updates: Sequence[ClientUpdate]) -> State:
        inbox = Inbox(updates)
        trainer: Any = SimpleNamespace(is_global_zero=True)
        Server({}, Uniform()).on_before_optimizer_step(trainer, inbox, None)  # type: ignore[arg-type]  # not looked at
        return inbox.aggregate

    assert state_hash(aggregate(arrived)) == state_hash(aggregate([arrived[i] for i in order]))


@steady
@given(
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8]),
    count=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_equal_weights_give_the_mean_in_the_dtype_of_the_states(dtype: torch.dtype, count: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    stacked = (100 * torch.rand(count, 2, 3, dtype=torch.float64, generator=rng)).to(dtype)
    mean = weighted_mean([{"p": tensor} for tensor in stacked], [1.0] * count)["p"]
    exact = stacked.double().mean(dim=0)
    assert mean.dtype == dtype
    if dtype.is_floating_point:
        torch.testing.assert_close(mean, exact.to(dtype))
    else:
        assert (mean.double() - exact).abs().max() <= 0.5 + 1e-9


rounds = st.lists(st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=6), min_size=1, max_size=4)


def assert_shares(weights: Sequence[float]) -> None:
    assert sum(weights) == pytest.approx(1.0)
    assert min(weights) >= 0.0


@settings(steady, max_examples=12)
@given(losses=rounds, decay=st.floats(0.01, 0.99))
def test_feddetects_weights_are_shares_whatever_the_losses(losses: list[list[float]], decay: float) -> None:
    defense = FedDetect(warmup=0, decay=decay)
    defense.setup(num_clients=6, clients_per_round=6, rounds=100)
    for t, of_round in enumerate(losses, start=1):
        updates = [ClientUpdate(i, 10, {}, {"loss_g_final": loss}) for i, loss in enumerate(of_round)]
        verdict = defense.reweight(updates, dict.fromkeys(range(6), 1 / 6), at(t))
        assert_shares(list(verdict.weights.values()))
        assert len(verdict.flagged) < 3


@settings(steady, max_examples=60)
@given(
    flagged=st.lists(st.sets(st.integers(0, 5), max_size=6), min_size=1, max_size=300),
    decay=st.floats(0.01, 0.99),
)
def test_feddetects_weights_are_shares_whoever_is_flagged(flagged: list[set[int]], decay: float) -> None:
    defense = FedDetect(warmup=0, decay=decay)
    defense.setup(num_clients=6, clients_per_round=6, rounds=1000)
    updates = [ClientUpdate(i, 10, {}, {"loss_g_final": 1.0}) for i in range(6)]
    with pytest.MonkeyPatch.context() as patch:
        for t, outliers in enumerate(flagged, start=1):
            verdicts = [i in outliers for i in range(6)]
            patch.setattr(_loss_forest, "isolation_outliers", lambda losses, seed, trees, verdicts=verdicts: verdicts)
            assert_shares(list(defense.reweight(updates, dict.fromkeys(range(6), 1 / 6), at(t)).weights.values()))


def test_feddetect_leaves_a_weight_to_those_who_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Client 0 is flagged until 0.5^c is less than any float; then nobody else answers."""
    monkeypatch.setattr(_loss_forest, "isolation_outliers", lambda losses, *_: [True] + [False] * (len(losses) - 1))
    defense = FedDetect(warmup=0, decay=0.5)
    defense.setup(num_clients=3, clients_per_round=3, rounds=2000)
    updates = [ClientUpdate(i, 10, {}, {"loss_g_final": 1.0}) for i in range(3)]
    for t in range(1, 1200):
        weights = defense.reweight(updates, dict.fromkeys(range(3), 1 / 3), at(t)).weights
    assert [weights[i] for i in range(3)] == pytest.approx([0.0, 0.5, 0.5])
    assert defense.reweight(updates[:1], {0: 1.0}, at(1200)).weights == {0: 1.0}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20).filter(lambda w: sum(w) > 1e-6))
def test_normalized_weights_are_shares(weights: list[float]) -> None:
    shares = normalize(weights)
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) >= 0.0
    assert 1.0 - 1e-9 <= effective_clients(weights) <= len(weights) + 1e-9


@pytest.mark.parametrize("weights", [[0.0, 0.0], [-1.0, 2.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_no_weights(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="aggregation weights"):
        normalize(weights)


def test_states_that_do_not_match_are_refused() -> None:
    first, other = states(2)
    with pytest.raises(ValueError, match="steps"):
        weighted_mean([first, {name: t for name, t in other.items() if name != "steps"}], [1, 1])
    with pytest.raises(ValueError, match="weight"):
        weighted_mean([first, {**other, "weight": torch.zeros(4, 3)}], [1, 1])
    with pytest.raises(ValueError, match="one weight a state"):
        weighted_mean([first, other], [1.0])


def test_hash_sees_values_names_shapes_and_dtypes_but_not_layout() -> None:
    state = {"a": torch.arange(24.0).reshape(1, 2, 3, 4)}
    same = {"a": state["a"].clone(memory_format=torch.channels_last)}
    assert state_hash(state) == state_hash(same)
    changed = [{"b": state["a"]}, {"a": state["a"] + 1}, {"a": state["a"].reshape(24)}, {"a": state["a"].double()}]
    assert len({state_hash(s) for s in [state, *changed]}) == 5
