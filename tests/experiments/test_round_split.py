import pytest

from experiments.round_split import shares


def test_parts_and_rest_of_a_round() -> None:
    """Four rounds of two steps; the first and the last do not count."""
    durations = {
        "data": [9, 9, 1, 1, 1, 1, 9, 9],
        "D step": [9, 9, 2, 3, 2, 3, 9, 9],
        "G step": [9, 9, 2, 2, 2, 2, 9, 9],
        "server": [9, 0.5, 0.5, 9],
        "record": [9, 0.25, 0.25, 9],
        "[Callback]ModelCheckpoint{'every': 5}.on_train_epoch_end": [9, 0.125, 0.125, 9],
        "[Callback]Recorder.on_train_epoch_end": [9, 0.375, 0.375, 9],  # with the record inside
        "[Callback]ModelCheckpoint{'every': 5}.on_fit_start": [7],
        "run_training_epoch": [99, 13.0, 13.0, 99],
    }
    split = shares({name: [float(t) for t in times] for name, times in durations.items()}, rounds=4)
    assert split["data"] == 2
    assert split["D step"] == 5
    assert split["G step"] == 4
    assert (split["server"], split["record"], split["checkpoint"]) == (0.5, 0.25, 0.125)
    assert split["round"] == 13.5  # Lightning's epoch, and the hooks at its end
    assert split["rest"] == pytest.approx(13.5 - 11.875)
