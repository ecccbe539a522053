"""Server optimizers: numbers worked out by hand, and the published rule in plain Python."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig
from torch import nn

from fedgan.config import training
from fedgan.core.arguments import validated
from fedgan.core.optimizers import OptimizerFactory
from fedgan.federated.server_optimizers import FedAdam, FedYogi
from tests.helpers.runs import outcome, resume

Configure = Callable[..., DictConfig]
OPTIONS = ("sgd", "fedavgm", "fedadagrad", "fedadam", "fedyogi")


def path(make: Callable[..., torch.optim.Optimizer], deltas: list[float]) -> list[float]:
    """Where one coordinate is after each round, from 0; the aggregate is that much larger than G_server."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer, visited = make([weight]), []
    for delta in deltas:
        weight.grad = torch.tensor([-delta], dtype=torch.float64)
        optimizer.step()
        visited.append(weight.item())
    return visited


def published(rule: str, deltas: list[float], eta: float, b1: float, b2: float, tau: float) -> list[float]:
    """Algorithm 2 of Reddi et al., line by line."""
    x, m, v, visited = 0.0, 0.0, tau**2, []
    for delta in deltas:
        m = b1 * m + (1 - b1) * delta
        if rule == "adagrad":
            v = v + delta**2
        elif rule == "yogi":
            v = v - (1 - b2) * delta**2 * ((v > delta**2) - (v < delta**2))
        else:
            v = b2 * v + (1 - b2) * delta**2
        x = x + eta * m / (math.sqrt(v) + tau)
        visited.append(x)
    return visited


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (partial(FedAdam, lr=0.1), [0.09901, 0.2236]),
        (partial(FedYogi, lr=0.1), [0.0990, 0.22311]),
        (partial(torch.optim.SGD, lr=1.0, momentum=0.9), [1.0, 2.4]),
    ],
    ids=["adam", "yogi", "avgm"],
)
def test_by_hand(make: Callable[..., torch.optim.Optimizer], expected: list[float]) -> None:
    """d = 1, then 0.5: Adam's first step is 0.1 * 0.1 / (sqrt(0.01 + 0.99e-6) + 0.001) = 0.1 * 0.9901."""
    assert path(make, [1.0, 0.5]) == pytest.approx(expected, abs=6e-6)


def test_torchs_adam_is_another() -> None:
    """It corrects the bias: 0.0999 and 0.19313."""
    adam = partial(torch.optim.Adam, lr=0.1, betas=(0.9, 0.99), eps=1e-3)
    assert path(adam, [1.0, 0.5]) == pytest.approx([0.0999, 0.19313], abs=6e-6)
    assert path(partial(FedAdam, lr=0.1), [1.0, 0.5])[1] > 0.22


@settings(derandomize=True, database=None, deadline=None)
@given(
    deltas=st.lists(st.floats(-3, 3), min_size=1, max_size=8),
    eta=st.sampled_from([0.01, 1.0]),
    b1=st.sampled_from([0.0, 0.9]),
    b2=st.sampled_from([0.0, 0.5, 0.99]),
    tau=st.sampled_from([1e-3, 0.1]),
)
def test_as_published(deltas: list[float], eta: float, b1: float, b2: float, tau: float) -> None:
    for rule, kind in (("adam", FedAdam), ("yogi", FedYogi)):
        made = path(partial(kind, lr=eta, beta1=b1, beta2=b2, tau=tau), deltas)
        assert made == pytest.approx(published(rule, deltas, eta, b1, b2, tau), rel=1e-9, abs=1e-12)
    adagrad = partial(torch.optim.Adagrad, lr=eta, eps=tau, initial_accumulator_value=tau**2)
    assert path(adagrad, deltas) == pytest.approx(published("adagrad", deltas, eta, 0, 0, tau), rel=1e-9, abs=1e-12)


def test_each_option_of_the_configuration_is_its_rule(configure: Configure) -> None:
    """With what conf/ says: d = 1, then 0.5; Adagrad's first step is 0.01 / (sqrt(1 + 1e-6) + 0.001)."""
    deltas = [1.0, 0.5]
    found = {
        name: path(instantiate(configure(f"fl/server_optimizer={name}").fl.server_optimizer), deltas)
        for name in OPTIONS
    }
    assert found["sgd"] == [1.0, 1.5]
    assert found["fedavgm"] == pytest.approx([1.0, 2.4])
    for name, rule, b1 in (("fedadagrad", "adagrad", 0.0), ("fedadam", "adam", 0.9), ("fedyogi", "yogi", 0.9)):
        assert found[name] == pytest.approx(published(rule, deltas, 0.01, b1, 0.99, 1e-3)), name
    assert configure("fl/server_optimizer=fedadam", "fl.server_optimizer.lr=0.5").fl.server_optimizer.lr == 0.5


def test_a_parameter_without_gradient_stays_and_closures_are_called_first() -> None:
    """As torch's optimizers do: Lightning sets the gradients in the closure."""
    still, moved = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = FedAdam([still, moved])

    def closure() -> float:
        assert torch.is_grad_enabled()
        (moved.sum() * 3).backward()
        return 7.0

    assert optimizer.step(closure) == 7.0
    assert torch.equal(still, torch.ones(2))
    assert (moved < 1).all()


@pytest.mark.parametrize("kind", [FedAdam, FedYogi])
def test_a_state_that_is_saved_and_loaded_goes_the_same_way(kind: type[FedAdam]) -> None:
    """To the bit."""
    deltas = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))

    def walked(weight: nn.Parameter, optimizer: FedAdam, steps: range) -> None:
        for i in steps:
            weight.grad = deltas[i]
            optimizer.step()

    one, half = nn.Parameter(torch.zeros(5)), nn.Parameter(torch.zeros(5))
    walked(one, kind([one]), range(6))
    first = kind([half])
    walked(half, first, range(3))
    other = nn.Parameter(half.detach().clone())
    second = kind([other])
    second.load_state_dict(first.state_dict())
    walked(other, second, range(3, 6))
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["fedavgm", "fedadagrad", "fedadam", "fedyogi"])
def test_a_run_that_is_resumed_ends_the_same(name: str, configure: Configure, tmp_path: Path) -> None:
    """To the bit: the optimizer's memory is in the checkpoint."""
    choice = f"fl/server_optimizer={name}"
    training.train(configure(choice, "fl.rounds=3"), tmp_path / "straight")
    training.train(configure(choice, "fl.rounds=1"), tmp_path / "run")
    resume(configure, tmp_path / "run", "fl.rounds=3")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"lr": -1}, r"server_optimizer\.lr must be a number in \[0, inf\); got -1"),
        ({"beta1": 1}, r"server_optimizer\.beta1 must be a number in \[0, 1\); got 1"),
        ({"tau": 0}, r"server_optimizer\.tau must be a number in \(0, inf\); got 0"),
        ({"betas": [0, 0]}, r"server_optimizer\.betas is not an argument; it has: params, lr, beta1, beta2, tau"),
    ],
)
def test_what_is_out_of_range_is_refused_in_one_line(settings_: dict[str, object], said: str) -> None:
    for kind in (FedAdam, FedYogi):
        with pytest.raises(ValueError, match=f"^{said}"):
            validated("server_optimizer", OptimizerFactory, partial(kind, **settings_))  # type: ignore[arg-type]
