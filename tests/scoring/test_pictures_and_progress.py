"""What a person sees: grids, bars, lines."""

import unicodedata
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from fedgan.core.images import ImageSet
from fedgan.federated.faults import Event
from fedgan.runs.progress import RoundProgress
from fedgan.scoring.callback import Evaluator
from fedgan.scoring.grid import GAP, HEADLINE, draw_grid, headed, save_grid, stack


def plain_images(channels: int, size: int) -> ImageSet:
    """Class a is black, class b is white."""
    labels = torch.arange(12) % 2
    images = (labels * 255).to(torch.uint8)[:, None, None, None].expand(12, channels, size, size).contiguous()
    return ImageSet(images, labels, ("a", "b"))


@pytest.mark.parametrize(("channels", "size", "tile"), [(1, 32, 64), (3, 64, 64), (1, 16, 64), (3, 128, 128)])
def test_each_class_has_its_band(channels: int, size: int, tile: int, tmp_path: Path) -> None:
    save_grid(plain_images(channels, size), tmp_path / "grid.png", per_class=5, columns=4)
    picture = np.asarray(Image.open(tmp_path / "grid.png"))
    band = HEADLINE + 2 * (tile + GAP) + GAP  # five images in four columns: two rows
    assert picture.shape == (2 * band, 4 * (tile + GAP) + GAP, 3)
    first = slice(HEADLINE + GAP, HEADLINE + GAP + tile)
    assert picture[first, GAP : GAP + tile].max() == 0
    assert picture[band:][first, GAP : GAP + tile].min() == 255
    assert [file.name for file in tmp_path.iterdir()] == ["grid.png"]


def test_real_images_are_below_those_of_their_class() -> None:
    """One row of them, in the first columns, whether there are enough, one or none."""
    gray = ImageSet(torch.full((12, 1, 32, 32), 100, dtype=torch.uint8), torch.arange(12) % 2, ("a", "b"))
    real = plain_images(1, 32).subset(torch.tensor([0, 2, 4, 6, 8, 1]))  # five of a (black), one of b (white)
    picture = np.asarray(draw_grid(gray, per_class=6, columns=4, note=", round 3", real=real).convert("L"))
    two_rows, one_row = HEADLINE + 2 * (64 + GAP) + GAP, HEADLINE + 64 + 2 * GAP
    assert picture.shape == (2 * (two_rows + one_row), 4 * (64 + GAP) + GAP)
    row = picture[two_rows + HEADLINE + GAP :][:64, GAP:]
    assert [int(row[:, i * (64 + GAP) : i * (64 + GAP) + 64].max()) for i in range(4)] == [0, 0, 0, 0]
    assert (picture[-64 - GAP :, :] == 255).all(), "the one white image of b and nothing next to it"
    bare = ImageSet(real.images[:0], real.labels[:0], real.classes)
    assert np.asarray(draw_grid(gray, per_class=6, columns=4, real=bare)).shape[:2] == picture.shape
    assert len(real.first_of_each_class(2)) == 3
    assert real.first_of_each_class(2).labels.tolist() == [0, 0, 1]


def test_pictures_side_by_side_and_under_a_title() -> None:
    red, green = Image.new("RGB", (10, 20), "red"), Image.new("RGB", (5, 8), "green")
    assert stack([red, green], vertical=False, gap=3).size == (18, 20)
    assert stack([red, green], vertical=True).size == (10, 28)
    titled = headed(red, "title")
    assert titled.size == (10, 20 + HEADLINE)
    assert titled.getpixel((5, HEADLINE)) == (255, 0, 0)
    assert draw_grid(plain_images(1, 32), per_class=1).mode == "RGB"


NAMES = ("Lungenentzündung", "pneumonie aiguë", "na\u0308vus", "здоровый", "ςπίλος", "肺炎", "\U0001fac1", "\udcff")


def band(name: str, other: str = "a") -> bytes:
    """The headline of the second class's band, as drawn for that name."""
    images = plain_images(1, 64)
    grid = draw_grid(ImageSet(images.images, images.labels, (other, name)), per_class=4)
    half = grid.height // 2
    return grid.crop((0, half, grid.width, half + HEADLINE)).tobytes()


@pytest.mark.parametrize("name", NAMES[:5])
def test_f27_names_beyond_ascii_are_drawn(name: str) -> None:
    """Two names that differ in such a character differ in the picture, which two boxes would not."""
    character = next(c for c in unicodedata.normalize("NFC", name) if ord(c) > 127)
    another = "й" if character != "й" else "ж"
    drawn = band(name)
    assert drawn != band(unicodedata.normalize("NFC", name).replace(character, another))
    assert drawn == band(unicodedata.normalize("NFC", name)), "however its accents are stored"
    assert drawn != band("class 1")


@pytest.mark.parametrize("name", NAMES[5:], ids=ascii)
def test_f27_a_name_that_the_font_lacks_gives_way_to_the_class_number(name: str) -> None:
    assert band(name) == band("class 1")


class FakeBackend:
    """What the bars need of the clients."""

    losses = ("loss_g", "loss_d")
    on_local_step: Any = None

    def images_of(self, client_id: int) -> int:
        return 16

    def steps_of(self, client_id: int) -> int:
        return 2


class FakeFederation:
    """What the bars need of a federation."""

    seconds, round, fine_tunes = 1.25, 3, True
    updates = (SimpleNamespace(metrics={"loss_g": 1.0, "loss_d": 2.0}),)
    events = (Event(3, 2, "late", "9.0 s", "left out of this round"),)
    backend = FakeBackend()


def drive(progress: RoundProgress, monkeypatch: pytest.MonkeyPatch, *callbacks: object) -> None:
    monkeypatch.setattr("fedgan.runs.progress.Federation", FakeFederation)
    trainer: Any = SimpleNamespace(max_epochs=5, callbacks=callbacks)
    federation: Any = FakeFederation()
    progress.on_train_start(trainer, federation)
    progress.on_train_batch_start(trainer, federation, [0, 2], 0)
    for client_id in (0, 0, 2, 2):
        federation.backend.on_local_step(client_id)
    progress.on_train_epoch_end(trainer, federation)
    progress.on_train_end(trainer, federation)


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = RoundProgress()
    console = Console(force_terminal=True, width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    progress.console = progress.progress.live.console = console
    progress.progress.disable = False
    notes: list[str] = []
    update = progress.progress.update

    def watched(task: Any, **fields: Any) -> None:
        notes.extend([fields["note"]] if fields.get("note", "").startswith("client") else [])
        update(task, **fields)

    monkeypatch.setattr(progress.progress, "update", watched)
    drive(progress, monkeypatch)
    tasks = {task.description: task for task in progress.progress.tasks}
    assert (tasks["rounds"].completed, tasks["rounds"].total) == (4, 5)
    assert (tasks["steps"].completed, tasks["steps"].total) == (4, 4)
    assert (tasks["clients"].completed, tasks["clients"].total) == (2, 2)
    assert "images/s" in tasks["steps"].fields["note"]
    assert tasks["rounds"].fields["note"] == "the server fine-tunes"
    assert "late (9.0 s)" in console.export_text()
    assert notes == ["client 0", "client 0", "client 2", "client 2"]


def test_a_line_a_round_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drive(RoundProgress(), monkeypatch)
    warning, line = capsys.readouterr().err.splitlines()
    assert warning == "warning: round 3, client 2: late (9.0 s); left out of this round"
    assert line == "the server alone  round 3 of 5  loss_g 1.000  loss_d 2.000  1.2 s"


def test_runs_that_share_a_screen_begin_their_lines_with_their_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also on a terminal, where the bars of several runs would overwrite each other."""
    monkeypatch.setattr("fedgan.runs.progress.Console", partial(Console, force_terminal=True))
    progress = RoundProgress("attack-seed_0  ")
    assert progress.progress.disable
    drive(progress, monkeypatch)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "attack-seed_0  the server alone  round 3 of 5  loss_g 1.000  loss_d 2.000  1.2 s"
    assert lines[0].startswith("attack-seed_0  warning: round 3, client 2: late")


def test_a_client_that_drops_out_as_it_was_set_is_no_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dropped = Event(3, 2, "dropped_out", "fl.dropout=0.3", "left out of this round")
    monkeypatch.setattr(FakeFederation, "events", (dropped,))
    progress = RoundProgress()
    progress.progress.disable = False
    drive(progress, monkeypatch)
    assert capsys.readouterr().err.splitlines()[0].startswith("note: round 3, client 2: dropped_out")
    steps = next(task for task in progress.progress.tasks if task.description == "steps")
    assert steps.completed == steps.total == 4


@pytest.mark.parametrize(("evaluated", "printed"), [(3, ["round 3 of 5: emission 0.25 [0.21, 0.29]"]), (2, [])])
def test_an_evaluation_is_printed_in_its_round(
    evaluated: int, printed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluator = object.__new__(Evaluator)
    evaluator.round_evaluated = evaluated
    evaluator.latest = {"emission": 0.25, "emission/a": 0.5, "emission_low": 0.21, "emission_high": 0.29}
    drive(RoundProgress(), monkeypatch, object(), evaluator)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("round 3 of 5: ")] == printed


def test_a_continued_run_removes_its_own_grids_alone(tmp_path: Path) -> None:
    """Of rounds to come, or that it would not draw; a user's copy is neither."""
    for name in ("0001", "0003", "0004", "0003 copy", "5"):
        (tmp_path / f"round_{name}.png").write_bytes(b"")
    evaluator = object.__new__(Evaluator)
    evaluator.folder, evaluator.every, evaluator.always = tmp_path, 2, ()
    trainer: Any = SimpleNamespace(is_global_zero=True, current_epoch=3)
    evaluator.on_train_start(trainer, SimpleNamespace())  # type: ignore[arg-type]
    assert {file.name for file in tmp_path.iterdir()} == {"round_0001.png", "round_0003 copy.png", "round_5.png"}
