"""A run of many rounds needs no more than one of a few: neither memory, nor open files, nor threads."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.federated.federation import Federation

WARM_UP, ROUNDS, WINDOW = 20, 220, 10  # rounds


@dataclass(frozen=True)
class Usage:
    """What this process has open."""

    resident: int  # bytes
    files: int
    threads: int

    @classmethod
    def now(cls) -> "Usage":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            pages * os.sysconf("SC_PAGE_SIZE"), *(len(os.listdir(f"/proc/self/{kind}")) for kind in ("fd", "task"))
        )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_hundred_rounds_need_no_more_than_twenty(
    configure: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With detection, an average that is released, scoring, and one checkpoint per round."""
    seen: list[Usage] = []
    monkeypatch.setattr(Federation, "on_train_epoch_start", lambda self: seen.append(Usage.now()), raising=False)
    settings = (
        "defense=[feddetect,rotation]",
        "metrics=[emission]",
        "evaluation.every=5",
        "model.ema=0.9",
        "fl.dropout=0.1",
    )
    training.train(configure(f"fl.rounds={ROUNDS}", *settings), tmp_path / "run")
    assert len(seen) == ROUNDS
    early, late = seen[WARM_UP : WARM_UP + WINDOW], seen[-WINDOW:]
    growth = median(usage.resident for usage in late) / median(usage.resident for usage in early) - 1
    assert growth < 0.02, f"resident set: {growth:+.2%}"
    assert max(usage.files for usage in late) <= max(usage.files for usage in early)
    assert max(usage.threads for usage in late) <= max(usage.threads for usage in early)
