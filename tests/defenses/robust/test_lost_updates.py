"""A client's update cannot be used: Krum tolerates one of five, and none of four."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from fedgan.config import training
from tests.helpers.federation import sabotage, spoil
from tests.helpers.runs import rows

KRUM = ("fl.num_clients=5", "fl.batch_size=4", "defense=krum")


def test_the_run_stops_and_names_the_setting(
    configure: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, lambda _, round_, client: (round_.index, client) == (1, 3), spoil)
    least = "fl.min_clients must be at least 5 for defense=krum to tolerate 1 malicious client"
    said = rf"^{least} \(N >= 2 f \+ 3; 4 tolerate 0\); got 4$"
    with pytest.raises(ValueError, match=said):
        training.train(configure(*KRUM), tmp_path / "run")


def test_with_that_setting_the_round_is_repeated(
    configure: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled: list[int] = []

    def once(_: object, round_: object, client: int) -> bool:
        if client == 3 and not spoiled:
            spoiled.append(client)
            return True
        return False

    sabotage(monkeypatch, once, spoil)
    assert training.train(configure(*KRUM, "fl.min_clients=5"), tmp_path / "run")["rounds"] == 2
    flagged = [row["flagged"] for row in rows(tmp_path / "run/clients.csv") if row["round"] == "0"]
    assert sorted(flagged) == ["0", "1", "1", "1", "1"]
