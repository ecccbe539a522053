"""FedDetect without an attacker: the rule flags somebody although all clients are alike."""

import sys

import pytest

from experiments import feddetect_control


def test_few_rounds_make_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--rounds=6", "--warmup=2", "--seeds=2"])
    feddetect_control.main()
    said = capsys.readouterr().out
    assert "6 rounds, warm-up 2, 2 seeds" in said
    assert [line.split("│")[1:3] for line in said.splitlines() if line.startswith("│")] == [
        [f"{clients:8} ".replace("      ", "      "), f"{decay:6} "] for clients in (4, 8) for decay in (0.8, 0.9)
    ]


def test_a_share_of_the_rounds_that_can_have_flags() -> None:
    """Three rounds of which only the last is after the warm-up: the share is 0 or 1."""
    shares = {feddetect_control.simulate(4, 0.8, seed, rounds=3, warmup=1)[0] for seed in range(8)}
    assert shares <= {0.0, 1.0}
    assert 1.0 in shares, "an isolation forest flags somebody among four that are alike"


def test_flags_lower_the_number_of_effective_clients() -> None:
    share, effective = feddetect_control.simulate(8, 0.8, 0, rounds=30, warmup=2)
    assert 0 < share <= 1
    assert effective < 8


def test_help_shows_the_settings_and_runs_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--help"])
    monkeypatch.setattr(feddetect_control, "simulate", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(SystemExit) as stop:
        feddetect_control.main()
    assert stop.value.code == 0
    assert "--rounds ROUNDS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--warmup=-1", "--warmup must be a whole number of at least 0; got -1"),
        ("--rounds=11", "--rounds must be a whole number of at least 12; got 11"),
        ("--seeds=1", "--seeds must be a whole number of at least 2; got 1"),
    ],
)
def test_bad_arguments(argument: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["command", argument])
    with pytest.raises(SystemExit, match=f"^error: {said}$"):
        feddetect_control.main()
