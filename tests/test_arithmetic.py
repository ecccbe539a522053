from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from fedgan import train
from fedgan.arithmetic import rounding


def allowed() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def as_torch_has_it() -> Iterator[None]:
    before = allowed()
    yield
    assert allowed() == before


@pytest.mark.parametrize("precision", ["32-true", "tf32-true", "bf16-mixed"])
def test_tensorfloat_32_is_used_in_products_and_convolutions_alike_or_not_at_all(precision: str) -> None:
    with rounding(precision):
        assert allowed() == (precision == "tf32-true",) * 2


def test_what_was_there_comes_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), rounding("tf32-true"):
        raise RuntimeError


@pytest.mark.parametrize(("precision", "lightnings"), [("32-true", "32-true"), ("tf32-true", "32-true")])
def test_a_run_trains_with_it(
    precision: str,
    lightnings: str,
    configure: Callable[..., DictConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    fit = train.build_trainer

    def spied(*arguments: object) -> object:
        trainer = fit(*arguments)  # type: ignore[arg-type]
        seen.append((trainer.precision, *allowed()))
        return trainer

    monkeypatch.setattr(train, "build_trainer", spied)
    cfg = configure(f"trainer.precision={precision}", "fl.rounds=1")
    train.train(cfg, tmp_path)
    assert seen == [(lightnings, *(precision == "tf32-true",) * 2)]
    assert f"precision: {precision}" in (tmp_path / "config.yaml").read_text()
