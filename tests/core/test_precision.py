import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.core.precision import deterministic, repeatable, rounding
from fedgan.gan.client import GANClient


def allowed() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def as_torch_has_it() -> Iterator[None]:
    before = allowed()
    deterministic, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(False)
    yield
    torch.use_deterministic_algorithms(deterministic, warn_only=warns)
    assert allowed() == before


@pytest.mark.parametrize("precision", ["32-true", "tf32-true", "bf16-mixed"])
def test_tensorfloat_32_is_used_in_products_and_convolutions_alike_or_not_at_all(precision: str) -> None:
    with rounding(precision):
        assert allowed() == (precision == "tf32-true",) * 2


def test_what_was_there_comes_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), rounding("tf32-true"):
        raise RuntimeError


@pytest.mark.parametrize("device", ["cpu", "cuda"])  # no GPU is used
def test_a_gpu_scores_in_float32_and_the_same_twice(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    on_gpu = device == "cuda"
    with rounding("tf32-true"), repeatable(device):
        assert allowed() == (False, False)
        assert torch.are_deterministic_algorithms_enabled() == on_gpu
        assert torch.is_deterministic_algorithms_warn_only_enabled() == on_gpu
        assert not torch.utils.deterministic.fill_uninitialized_memory
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == on_gpu
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("precision", "lightnings"), [("32-true", "32-true"), ("tf32-true", "32-true")])
def test_a_run_trains_with_it(
    precision: str,
    lightnings: str,
    configure: Callable[..., DictConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    fit = training.build_trainer

    def spied(*arguments: object) -> object:
        trainer = fit(*arguments)  # type: ignore[arg-type]
        seen.append((trainer.precision, *allowed()))
        return trainer

    monkeypatch.setattr(training, "build_trainer", spied)
    cfg = configure(f"trainer.precision={precision}", "fl.rounds=1")
    training.train(cfg, tmp_path)
    assert seen == [(lightnings, *(precision == "tf32-true",) * 2)]
    assert f"precision: {precision}" in (tmp_path / "config.yaml").read_text()


@pytest.mark.parametrize("engine", ["serial", "vectorized"])
@pytest.mark.parametrize("defense", ["none", "gradient_penalty"])
def test_a_run_in_bfloat16(defense: str, engine: str, configure: Callable[..., DictConfig], tmp_path: Path) -> None:
    """Synthetic images come in bfloat16, real ones in float32."""
    own = (f"defense={defense}", f"fl/backend={engine}", "trainer.precision=bf16-mixed", "fl.rounds=1")
    summary = training.train(configure(*own), tmp_path)
    assert summary["rounds"] == 1
    events = (tmp_path / "events.csv").read_text()
    assert "raised" not in events, events


def test_deterministic_algorithms_leave_new_memory_unfilled() -> None:
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize("engine", ["serial", "vectorized"])
def test_no_run_reads_memory_that_nobody_wrote(
    engine: str, configure: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a run computes, torch does not fill new memory with NaN; where it does, the run has the same bits."""

    def fills() -> bool:
        return torch.utils.deterministic.fill_uninitialized_memory

    seen = []
    begin_round = GANClient.begin_round

    def spied(client: GANClient) -> None:
        seen.append(fills())
        begin_round(client)

    monkeypatch.setattr(GANClient, "begin_round", spied)
    cfg = configure(f"fl/backend={engine}", "fl.rounds=2")
    bare = training.train(cfg, tmp_path / "bare")
    assert fills()  # as torch has it by default
    monkeypatch.setattr(training, "unfilled", nullcontext)
    filled = training.train(cfg, tmp_path / "filled")
    assert seen == [False] * (len(seen) // 2) + [True] * (len(seen) // 2)
    assert seen
    assert bare["generator_sha256"] == filled["generator_sha256"]
