import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgan.update import effective_clients, normalise, state_hash, weighted_mean


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


def test_weights_count_and_need_not_be_normalised() -> None:
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


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20).filter(lambda w: sum(w) > 1e-6))
def test_normalised_weights_are_shares(weights: list[float]) -> None:
    shares = normalise(weights)
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) >= 0.0
    assert 1.0 - 1e-9 <= effective_clients(weights) <= len(weights) + 1e-9


@pytest.mark.parametrize("weights", [[0.0, 0.0], [-1.0, 2.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_no_weights(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="aggregation weights"):
        normalise(weights)


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
