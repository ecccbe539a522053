"""Walks conf/: every option of every group is built and runs for two rounds; none needs a line here to be tried."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from fedgan.config import training
from fedgan.config.refusals import CONF, SEVERAL
from fedgan.config.resume import leaves
from fedgan.config.typed.choices import fit_choices
from tests.helpers.shrinking import shrunk

OTHER_COMMANDS = {
    "benchmark",
    "classifier",
    "hparams_search",
    "launcher",
    "scale",
}  # groups that a training run has not, or that take a sweeper: tested with the commands that have them
OPTIONS = sorted(
    (file.parent.name, file.stem) for file in CONF.glob("*/*.yaml") if file.parent.name not in OTHER_COMMANDS
)


@pytest.fixture
def medmnist_file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 40), ("val", 8), ("test", 12)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2)[:, None].astype(np.uint8)
    np.savez(tmp_path / "mini.npz", **arrays)
    return tmp_path / "mini.npz"


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Metrics that want pretrained weights find none, here and on the net."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("tests do not download")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def folder_of(classes: list[str], source: Path) -> Path:
    """The test's image folder with other names for its two classes."""
    for split in source.iterdir():
        for folder, name in zip(sorted(split.iterdir()), classes, strict=True):
            folder.rename(split / name)
    return source


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda part: part)
def test_every_option_runs(
    group: str,
    option: str,
    configure: Callable[..., DictConfig],
    tmp_path: Path,
    image_folder: Path,
    medmnist_file: Path,
) -> None:
    if group == "trainer" and option.startswith("gpu") and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    if (group, option) == ("logger", "mlflow"):
        pytest.importorskip("mlflow")
    choice = f"{group}=[{option}]" if group in SEVERAL else f"{group}={option}"
    quick = [o for o in ("metrics=[none]", "logger=none", "trainer=cpu") if not o.startswith(group)]
    # Most metrics have something to say of a mosaic; a white square has no pattern. An arm may take the attack back.
    looked_for = {"spectrum": "sinusoidal", "each_part": "distributed", "latent": "latent_trigger"}.get(
        option, "random_patch"
    )
    attack = [f"attack={looked_for}"] if group in ("metrics", "arm") else []
    crowd = ["fl.num_clients=5", "fl.malicious=2"] if "distributed" in (option, looked_for) else []
    # Whole groups need a data set that knows of some.
    grouped = ["dataset=image_folder", r"dataset.group_pattern='\d+\.png'"] if option == "by_group" else []
    overrides = [*(quick if group != "experiment" else quick[1:]), choice, *attack, *grouped, *crowd, "fl.batch_size=4"]
    cfg = configure(*overrides, tiny=False)
    data = []
    if "root" in cfg.dataset:
        classes = list(cfg.dataset.classes or ["benign", "malignant"])
        data = [f"dataset.root={folder_of(classes, image_folder)}"]
    if "file" in cfg.dataset:
        data = [f"dataset.file={medmnist_file}"]
    evaluation = ["evaluation.samples_per_class=8"]
    small = [*shrunk(cfg), *crowd, *data, *evaluation]
    summary = training.train(configure(*overrides, *small, tiny=False), tmp_path / "run")
    assert summary["rounds"] == 2
    if group == "metrics" and option != "none":
        assert summary["metrics"] or "out of reach" in summary["absent"][option]
        assert all(np.isfinite(value) for value in summary["metrics"].values())


def test_no_file_says_whether_a_command_is_a_sweep() -> None:
    """Only what is typed does; tests do not have Hydra ask (tests/conftest.py)."""
    assert [file for file in CONF.rglob("*.yaml") if OmegaConf.select(OmegaConf.load(file), "hydra.mode")] == []


def test_every_group_has_a_choice_that_needs_nothing(configure: Callable[..., DictConfig]) -> None:
    cfg = configure(tiny=False)
    assert {"dataset", "attack", "defense", "model", "fl", "metrics", "trainer", "logger"} <= set(cfg)
    assert {group for group, _ in OPTIONS} == {
        *("dataset", "partition", "attack", "update_attack", "defense", "model", "fl", "metrics", "trainer", "logger"),
        *("experiment", "arm"),
    }


@pytest.mark.parametrize(
    ("experiment", "facts"),
    [
        (
            "paper_isic",
            {
                "dataset.name": "isic",
                "dataset.channels": 3,
                "dataset.test_per_class": 300,
                "defense.feddetect.decay": 0.9,
            },
        ),
        (
            "paper_chestx",
            {
                "dataset.name": "chestx",
                "dataset.channels": 1,
                "dataset.test_per_class": 234,
                "defense.feddetect.decay": 0.8,
            },
        ),
    ],
)
def test_paper_presets_hold_the_papers_settings(
    experiment: str, facts: dict[str, object], configure: Callable[..., DictConfig]
) -> None:
    cfg = configure(f"experiment={experiment}", tiny=False)
    same = {
        "dataset.image_size": 256,
        "dataset.pool_splits": True,
        "attack.size": 16,
        "attack.margin": 5,
        "attack.poison_share": 1.0,
        "attack.position": "bottom_right",
        "fl.malicious": 1,
        "defense.feddetect.warmup": 10,
        "fl.num_clients": 4,
        "fl.rounds": 200,
        "fl.local_epochs": 1,
        "fl.batch_size": 32,
        "fl.clients_per_round": None,
        "model.generator._target_": "fedgan.models.stylegan2.StyleGAN2Generator",
        "model.generator.z_dim": 64,
        "model.generator.w_dim": 128,
        "model.discriminator.base_channels": 64,
        "model.discriminator.norm": "batch",
        "model.loss._target_": "fedgan.gan.losses.NonSaturating",
        "model.ema": 0.0,
        "model.optimizer_g._target_": "torch.optim.Adam",
        "model.optimizer_g.lr": 2e-4,
        "model.optimizer_g.betas": [0.9, 0.999],
        "model.optimizer_d.lr": 2e-4,
        "model.optimizer_d.betas": [0.9, 0.999],
        "evaluation.samples_per_class": 1000,
    }
    assert {key: OmegaConf.select(cfg, key) for key in same | facts} == same | facts


@pytest.mark.parametrize("experiment", ["paper_isic", "paper_chestx"])
@pytest.mark.parametrize("defense", ["none", "rotation", "[feddetect_code,gradient_penalty]"])
def test_paper_presets_take_other_defenses(experiment: str, defense: str, configure: Callable[..., DictConfig]) -> None:
    cfg = configure(f"experiment={experiment}", f"defense={defense}", "dataset.root=somewhere", tiny=False)
    training.check_settings(cfg)
    assert set(cfg.defense) == set(defense.strip("[]").replace("none", "").split(",")) - {""}


def test_several_defenses_at_once_and_their_settings(configure: Callable[..., DictConfig]) -> None:
    cfg = configure("defense=[feddetect]", "defense.feddetect.warmup=0")
    assert list(cfg.defense) == ["feddetect"]
    assert cfg.defense.feddetect.warmup == 0
    assert dict(configure("defense=none").defense) == {}


# Settings that what is chosen does not have


def fitted(*overrides: str, free: tuple[str, ...] = ()) -> DictConfig:
    """Composed and fitted as within a command."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        try:
            with open_dict(cfg):
                del cfg.hydra
            fit_choices(cfg, free)
        finally:
            HydraConfig.instance().cfg = None
    return cfg


@pytest.mark.parametrize("chosen", ["attack=none", "attack=white_square", "metrics=[none]", "defense=[feddetect]"])
def test_what_belongs_to_the_choices_stays(chosen: str, configure: Callable[..., DictConfig]) -> None:
    plain = leaves(configure(chosen, tiny=False))
    assert leaves(fitted(chosen)) == plain
    assert leaves(fitted(chosen, "++seed=0")) == plain


def test_what_an_experiment_sets_is_dropped_with_another_choice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cfg = fitted("experiment=paper_isic", "attack=none", "defense=[rotation]")
    assert dict(cfg.attack) == {"_target_": "fedgan.attacks.base.Attack"}
    assert list(cfg.defense) == ["rotation"]
    assert fitted("experiment=paper_isic").attack.size == 16
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("chosen", "left_over"), [("attack=none", "++attack.size=8"), ("defense=[none]", "++defense.feddetect.warmup=0")]
)
def test_a_setting_of_another_choice_is_dropped_and_noted_but_in_a_sweep(
    chosen: str, left_over: str, configure: Callable[..., DictConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    plain = leaves(configure(chosen, tiny=False))
    assert leaves(fitted(chosen, left_over)) == plain
    assert capsys.readouterr().err == f"note: {left_over} has no effect with what is chosen\n"
    assert leaves(fitted(chosen, left_over, "hydra.mode=MULTIRUN")) == plain
    assert not capsys.readouterr().err
    taken = fitted(chosen.replace("none", "white_square" if "attack" in chosen else "feddetect"), left_over)
    assert not capsys.readouterr().err
    assert OmegaConf.select(taken, left_over[2:].partition("=")[0]) is not None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("attack=none", "+attack.size=8"), "attack.size is not a setting"),
        (("++fl.typo=1",), "fl.typo is not a setting"),
        (("++typo=1",), "typo is not a setting"),
        (("++evaluation.typo=1",), "evaluation.typo is not a setting"),
    ],
)
def test_what_nothing_reads_is_refused(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        fitted(*overrides)


def test_what_was_typed_may_refer_to_other_settings_and_is_named_as_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert fitted("attack=none", "seed=${fl.rounds}", "++attack.size=${fl.rounds}", "fl.rounds=7").seed == 7
    assert capsys.readouterr().err == "note: ++attack.size=${fl.rounds} has no effect with what is chosen\n"


def test_components_judge_their_own_settings_and_free_ones_take_any_name() -> None:
    assert fitted("+dataset.typo=1").dataset.typo == 1
    assert fitted("attack=none", "++attack.typo=1").attack.typo == 1
    assert fitted("+model.optimizer_g.typo=1").model.optimizer_g.typo == 1
    assert fitted("+defense.mine={_target_:fedgan.defenses.base.Defense}").defense.mine
    assert fitted("+defense.mine=7").defense.mine == 7, "refused where defenses are built"
    assert fitted("+weights.any=1", free=("weights",)).weights.any == 1
    assert fitted("+evaluation.any=1", free=("evaluation",)).evaluation.any == 1
    with pytest.raises(ValueError, match="^weights is not a setting"):
        fitted("+weights.any=1")


def test_every_file_says_what_it_is() -> None:
    for file in CONF.rglob("*.yaml"):
        text = file.read_text()
        assert any(line.startswith("# ") and "@package" not in line for line in text.splitlines()[:3]), file
