"""What cannot work ends in one line that names the setting, what is allowed and what was given; exit code 1."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fedgan import sample, train
from tests.helpers.federation import TINY
from tests.helpers.runs import choices, refusal

Call = Callable[..., Any]
TINY_FOLDER = (*(o for o in TINY if "dataset.t" not in o), "dataset=image_folder")


WHOLE = "must be a whole number of at least"
FLAG = "must be true or false"
LR = "must be a number in [0, inf)"
# What is typed, and the whole line that comes back.
REFUSED = {
    "seed=1.5": f"seed {WHOLE} 0; got 1.5",
    "seed=null": f"seed {WHOLE} 0; got null",
    "seed=[1]": f"seed {WHOLE} 0; got [1]",
    "objective=beauty": "objective must be null or one of the run's metrics (none); got 'beauty'",
    "metrics=[frechet] objective=emission": "objective must be null or one of the run's metrics "
    "(frechet_classifier); got 'emission'",
    # data
    "dataset.image_size=abc": f"dataset.image_size {WHOLE} 16; got 'abc'",
    "dataset.train_per_class=0": f"dataset.train_per_class {WHOLE} 1; got 0",
    "dataset.test_per_class=many": f"dataset.test_per_class {WHOLE} 1; got 'many'",
    # attack
    "attack.size=2.5": f"attack.size {WHOLE} 1; got 2.5",
    "attack.margin=-1": f"attack.margin {WHOLE} 0; got -1",
    "attack.margin=30": "attack.size must be at most 2, what dataset.image_size=32 leaves next to margin=30; got 8",
    "attack.position=middle": "attack.position must be one of bottom_right, bottom_left, top_right, top_left, center; "
    "got 'middle'",
    "attack.poison_share=0": "attack.poison_share must be a number in (0, 1]; got 0",
    "attack.poison_share=all": "attack.poison_share must be a number in (0, 1]; got 'all'",
    "fl.malicious=-1": "fl.malicious must be a number of at most 1 (fewer than half of fl.num_clients=4), or "
    "a list of at most 1 different ids from 0 to 3; got -1",
    "fl.malicious=[a]": "fl.malicious must be a number of at most 1 (fewer than half of fl.num_clients=4), or "
    "a list of at most 1 different ids from 0 to 3; got ['a']",
    "update_attack=loss_hiding update_attack.knowledge=own": "update_attack.knowledge must be all: no client sees what "
    "others report; got 'own'",
    "update_attack=min_max update_attack.knowledge=own": "update_attack.knowledge must be all with fewer than 2 "
    "malicious clients: the spread of one update is 0; got 'own'",
    "update_attack=little_is_enough update_attack.z=null": "update_attack.z must be a number above 0: with 1 malicious "
    "of 4 clients the formula of null gives -0.431, no attack; got null",
    "update_attack=neurotoxin fl.rounds=1": "update_attack.start must be such that the attack acts after round 0, "
    "which has no last step of the server, in fl.rounds=1; got 0",
    "update_attack=audit_evasion update_attack.weight=-1": "update_attack.weight must be a number in [0, 1e+06]; "
    "got -1",
    # federation
    "fl.num_clients=2.5": "fl.num_clients must be a whole number from 1 to 1000000; got 2.5",
    "fl.num_clients=1000001": "fl.num_clients must be a whole number from 1 to 1000000; got 1000001",
    "fl.local_epochs=0": f"fl.local_epochs {WHOLE} 1; got 0",
    "fl.batch_size=abc": f"fl.batch_size {WHOLE} 1; got 'abc'",
    "fl.clients_per_round=5": "fl.clients_per_round must be a whole number from 1 to 4, or null; got 5",
    "model.compile=fast": "model.compile must be one of default, reduce-overhead, max-autotune, or null; got 'fast'",
    "model.compile=default fl/backend=vectorized": "model.compile must be null with fl/backend=vectorized: torch.func "
    "maps what is not compiled; got 'default'",
    "model.shared_fakes=1": "model.shared_fakes must be true or false; got 1",
    "fl/backend=parallel": "fl/backend=parallel is not one of the choices; fl/backend has: flower, serial, vectorized",
    "fl.weighting=uniform": "fl.weighting must be chosen as a group: fl/weighting=uniform; got 'uniform'",
    "fl/backend=vectorized fl.straggler_timeout=9": "fl.straggler_timeout must be null with "
    "fl/backend=vectorized, where no client has its own time; got 9.0",
    "fl.dropout=1": "fl.dropout must be a number in [0, 1); got 1",
    "fl.straggler_timeout=soon": "fl.straggler_timeout must be a number in (0, 1e+09], or null; got 'soon'",
    "fl.min_clients=9": "fl.min_clients must be a whole number from 1 to 4; got 9",
    "fl.max_retries=-1": f"fl.max_retries {WHOLE} 0; got -1",
    "fl.server_optimizer.lr=abc": f"fl.server_optimizer.lr {LR}; got 'abc'",
    "+fl.server_optimizer.momentum=1": "fl.server_optimizer.momentum must be a number in [0, 1); got 1",
    # model
    "model.generator.z_dim=0": f"model.generator.z_dim {WHOLE} 1; got 0",
    "model.generator.base_channels=abc": f"model.generator.base_channels {WHOLE} 1; got 'abc'",
    "model.generator.norm=layer": "model.generator.norm must be one of batch, instance, pixel; got 'layer'",
    "model.discriminator.base_channels=0": f"model.discriminator.base_channels {WHOLE} 1; got 0",
    "model.discriminator.norm=[batch]": "model.discriminator.norm must be one of batch, instance, pixel; got ['batch']",
    "model.optimizer_g.lr=abc": f"model.optimizer_g.lr {LR}; got 'abc'",
    "model.optimizer_d.lr=-1": f"model.optimizer_d.lr {LR}; got -1",
    "model.optimizer_d.betas=[1,2]": "model.optimizer_d does not take its settings "
    "{'lr': 0.0002, 'betas': [1, 2], 'fused': True}: Invalid beta parameter at index 0: 1",
    "model.ema=1": "model.ema must be a number in [0, 1); got 1",
    "+model.generator.width=8": "model.generator.width is not an argument; it has: num_classes, channels, image_size, "
    "z_dim, base_channels, norm",
    # defenses
    "fl.rounds=4 defense=feddetect defense.feddetect.warmup=soon": f"defense.feddetect.warmup {WHOLE} 0; got 'soon'",
    "fl.rounds=4 defense=feddetect_mean defense.feddetect_mean.trees=0": "defense.feddetect_mean.trees must be a whole "
    "number from 1 to 100000; got 0",
    "fl.rounds=4 defense=feddetect fl.clients_per_round=2": "fl.clients_per_round must be at least 3 for "
    "defense=feddetect, which acts on fewer than half of those present; got 2",
    "fl.rounds=4 defense=[feddetect,gradient_penalty] defense.feddetect.warmup=0": "defense must be without feddetect "
    "where the critic gives no probability (Eq. 6): feddetect_code takes any loss; got 'Wasserstein'",
    "fl.rounds=4 defense=feddetect ++defense.feddetect.warmp=1": "defense.feddetect.warmp is not an argument; it has: "
    "warmup, decay, trees, random_state, samples; did you mean warmup?",
    "fl.rounds=4 defense=feddetect_cusum defense.feddetect_cusum.spread=0": "defense.feddetect_cusum.spread must be a "
    "number in (0, inf) or a file of python -m fedgan.calibrate, or null; got 0",
    "fl.rounds=4 defense=feddetect_cusum defense.feddetect_cusum.k=8": "defense.feddetect_cusum.k must be a number in "
    "(0, 8); got 8",
    "fl.rounds=2 defense=feddetect_cusum": "defense.feddetect_cusum.warmup must be at most 0, so that it can act in "
    "fl.rounds=2; got 1",
    "fl.rounds=4 defense=feddetect_grubbs defense.feddetect_grubbs.side=low": "defense.feddetect_grubbs.side must be "
    "one of high, both; got 'low'",
    "model.arrival_samples=-1": f"model.arrival_samples {WHOLE} 0; got -1",
    "attack=random_patch attack.cells=0": f"attack.cells {WHOLE} 1; got 0",
    "attack=distributed": "fl.malicious must be at least attack.parts=2 clients, or 0 for the control; got 1",
    "attack=distributed attack.parts=5": "attack.parts must be a whole number from 2 to 4; got 5",
    "attack=class_trigger attack.classes=[covid]": "attack.classes must be one of the classes normal, pneumonia, or a "
    "label from 0 to 1; got 'covid'",
    "attack=class_trigger attack.look=blue": "attack.look must be one of white_square, random_patch, noise_patch; "
    "got 'blue'",
    "fl.rounds=4 defense=feddetect defense.feddetect.random_state=4294967296": "defense.feddetect.random_state must "
    "be a whole number from 0 to 4294967295; got 4294967296",
    "fl.num_clients=2 fl.malicious=0 fl.rounds=4 defense=feddetect": "fl.num_clients must be at least 3 for "
    "defense=feddetect; got 2",
    "defense=krum": "fl.num_clients must be at least 5 for defense=krum to tolerate 1 malicious client "
    "(N >= 2 f + 3; 4 tolerate 0); got 4",
    "fl.num_clients=8 fl.clients_per_round=6 defense=bulyan": "fl.clients_per_round must be at least 7 for "
    "defense=bulyan to tolerate 1 malicious client (N >= 4 f + 3; 6 tolerate 0); got 6",
    "defense=bucketing": "fl.num_clients must be at least 5 for defense=bucketing to tolerate 1 malicious client "
    "(N >= 4 f + 1; 4 tolerate 0); got 4",
    "fl.num_clients=9 defense=multi_metrics": "fl.num_clients must be at least 10 for "
    "defense=multi_metrics to tolerate 1 malicious client (N >= 2 f + 1 and N >= 10; 9 tolerate 0); got 9",
    "defense=trimmed_mean defense.trimmed_mean.num_malicious=2": "fl.num_clients must be at least 5 for "
    "defense=trimmed_mean to tolerate 2 malicious clients (N >= 2 f + 1; 4 tolerate 1); got 4",
    "fl.num_clients=8 defense=multi_krum defense.multi_krum.selected=8": "defense.multi_krum.selected must be at most "
    "7, the round's clients less num_malicious=1, or null; got 8",
    "defense=robust_learning_rate defense.robust_learning_rate.threshold=4": "defense.robust_learning_rate.threshold "
    "must be from f + 1 = 2 to N - f = 3, or null; got 4",
    "defense=robust_learning_rate defense.robust_learning_rate.flip=1": "defense.robust_learning_rate.flip must be "
    "one of -1, 0; got 1",
    "defense=dnc defense.dnc.num_malicious=0.2": f"defense.dnc.num_malicious {WHOLE} 1; got 0.2",
    "defense=norm_clipping defense.norm_clipping.bound=0": "defense.norm_clipping.bound must be a number in (0, inf), "
    "or null; got 0",
    "defense=flame defense.flame.noise=-1": "defense.flame.noise must be a number in [0, inf); got -1",
    "defense=[flame,trimmed_mean]": "defense must be a list without flame, since trimmed_mean does not use weights; "
    "got ['flame', 'trimmed_mean']",
    "defense=gradient_penalty defense.gradient_penalty.weight=0": "defense.gradient_penalty.weight must be a number "
    "in (0, 1e+06]; got 0",
    "defense=gradient_penalty defense.gradient_penalty.optimizer.lr=abc": "defense.gradient_penalty.optimizer.lr "
    "must be a number in [0, inf); got 'abc'",
    "defense=horizontal_flip defense.horizontal_flip.probability=2": "defense.horizontal_flip.probability must be a "
    "number in (0, 1]; got 2",
    "defense=rotation defense.rotation.degrees=181": "defense.rotation.degrees must be a number in (0, 180]; got 181",
    "defense=reconstruction defense.reconstruction.epochs=-1": f"defense.reconstruction.epochs {WHOLE} 0; got -1",
    "defense=reconstruction defense.reconstruction.images_per_class=33": "defense.reconstruction.images_per_class "
    "must be at most 32, the training images of class normal that are not also test images; got 33",
    "+defense.none=7": "defense.none must be the settings of a component, with its _target_; got 7",
    # metrics
    "metrics=[emission] metrics.emission.false_alarm=2": "metrics.emission.false_alarm must be a number in [0, 1); "
    "got 2",
    "metrics=[frechet] metrics.frechet.classifier.steps=0": f"metrics.frechet.classifier.steps {WHOLE} 1; got 0",
    "metrics=[lpips] metrics.lpips.weights=7": "metrics.lpips.weights must be a file, or null; got 7",
    "metrics=[emission] +metrics.emission.false_alarms=0.1": "metrics.emission.false_alarms is not an argument; it "
    "has: false_alarm; did you mean false_alarm?",
    "metrics=[frechet] +metrics.frechet.classifier.step=9": "metrics.frechet.classifier.step is not an argument; it "
    "has: width, feature_dim, steps, batch_size, lr, seed, cache; did you mean steps?",
    # what Lightning is given
    "trainer.devices=abc": "trainer.devices must be a number of at least 1, or a list of devices' numbers; got 'abc'",
    "trainer.devices=0": "trainer.devices must be a number of at least 1, or a list of devices' numbers; got 0",
    "trainer.num_nodes=0": "trainer.num_nodes must be a whole number of at least 1; got 0",
    "trainer.devices=null": "trainer.devices must be a number of at least 1, or a list of devices' numbers; got null",
    "trainer.max_epochs=9": "trainer.max_epochs must be fl.rounds=2, which is what sets it; got 9",
    "trainer.check_val_every_n_epoch=0": f"trainer.check_val_every_n_epoch {WHOLE} 1; got 0",
    "trainer.log_every_n_steps=abc": f"trainer.log_every_n_steps {WHOLE} 0; got 'abc'",
    "trainer.num_sanity_val_steps=2": "trainer.num_sanity_val_steps must be 0: nothing is evaluated before the first "
    "round; got 2",
    "trainer.enable_progress_bar=7": f"trainer.enable_progress_bar {FLAG}; got 7",
    "trainer.deterministic=abc": "trainer.deterministic must be true, false or warn; got 'abc'",
    "+trainer.typo=1": "trainer.typo is not a setting of a federation; trainer has: accelerator, devices, num_nodes, "
    "precision, max_epochs, check_val_every_n_epoch, num_sanity_val_steps, log_every_n_steps, enable_model_summary, "
    "enable_progress_bar, deterministic, benchmark, profiler, detect_anomaly",
    "+fl.typo=1": "fl.typo is not a setting; fl has: backend, batch_size, clients_per_round, dropout, local_epochs, "
    "malicious, max_retries, min_clients, num_clients, proximal, rounds, server_optimizer, straggler_timeout, "
    "weighting",
    "epochs=5": "epochs is not a setting; the configuration has: arm, attack, checkpoint, dataset, defense, "
    "evaluation, experiment, fl, hparams_search, logger, metrics, model, name, objective, partition, resume, root, "
    "seed, sweep, trainer, trust, update_attack; did you mean fl.local_epochs?",
    "defense=fedetect": f"defense=fedetect is not one of the choices; defense has: {choices('defense')}; "
    "did you mean feddetect?",
    "defense=none defense.feddetect.warmup=1": "defense.feddetect.warmup is not a setting: defense=feddetect is not "
    "chosen; in a sweep over defense write ++defense.feddetect.warmup=...",
    "fl/backend=vectorized trainer.devices=2": "fl/backend must be serial with several processes: stacked clients' "
    "sums depend on how many there are; got 'vectorized'",
    "trainer=gpu": "trainer.accelerator must be cpu (trainer=cpu): torch finds no GPU here; got 'cuda'",
    "root=/data": "root must be null without resume=: type dataset.root=PATH; got '/data'",
    "checkpoint.every_n_epochs=0": f"checkpoint.every_n_epochs {WHOLE} 1; got 0",
    "checkpoint.save_top_k=abc": "checkpoint.save_top_k must be 1 (the newest) or -1 (all); got 'abc'",
    "checkpoint.filename=best": "checkpoint.filename must be text that begins with round_{epoch, by which resume= "
    "finds it; got 'best'",
    "checkpoint.auto_insert_metric_name=true": "checkpoint.auto_insert_metric_name must be false, or resume= finds "
    "no checkpoint; got True",
    "checkpoint.save_on_train_epoch_end=false": "checkpoint.save_on_train_epoch_end must be true: a checkpoint before "
    "the round's rows are written cannot be resumed from; got False",
    **{
        f"+checkpoint.{name}={value}": f"checkpoint.{name} is not a setting of a federation; checkpoint has: filename, "
        "auto_insert_metric_name, every_n_epochs, save_top_k, save_on_train_epoch_end"
        for name, value in {"save_weights_only": "true", "monitor": "loss_g", "dirpath": "elsewhere"}.items()
    },
}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("attack.size=33",), ("attack.size", "at most 31", "33")),
        (
            ("partition._target_=fedgan.defenses.robust.median.Median",),
            ("partition must be the settings of a fedgan.partitions.base.Partition", "_target_", "got 'Median'"),
        ),
        (
            ("fl.weighting._target_=fedgan.partitions.iid.IID",),
            ("fl.weighting must be the settings of a fedgan.federated.weighting.Weighting", "got 'IID'"),
        ),
        (("fl.malicious=2",), ("fl.malicious", "fewer than half", "2")),
        (("fl.malicious=[0,1]",), ("fl.malicious", "fewer than half", "[0, 1]")),
        (("fl.num_clients=65", "fl.malicious=0"), ("fl.num_clients", "at most", "64", "65")),
        (("fl.num_clients=33", "fl.malicious=0"), ("partition", "at least 2 images", "client 0 has 1")),
        (("fl.rounds=0",), ("fl.rounds", "at least 1", "0")),
        (("fl.rounds=many",), ("fl.rounds", "whole number", "many")),
        (("dataset.image_size=48",), ("image_size", "power of two", "48")),
        (("attack.sise=4",), ("attack.sise is not a setting", "margin", "size")),
        (("atack=none",), ("atack", "attack")),
        (("attack=blue_square",), ("blue_square", "white_square", "random_patch")),
        (("defense=fool",), ("defense=fool is not one of the choices", "feddetect")),
        (("defense=[none,fool]",), ("defense=fool is not one of the choices", "feddetect")),
        (("metrics=[beauty]",), ("metrics=beauty is not one of the choices", "emission", "frechet")),
        (("defense=feddetect",), ("defense.feddetect.warmup", "at most 0", "10")),
        (("defense=feddetect", "defense.feddetect.decay=2"), ("defense.feddetect.decay", "(0, 1)", "2")),
        (("model.loss.gamma=1",), ("gamma", "not a setting")),
        (("+attack.color=red",), ("color",)),
        (("evaluation.samples_per_class=1",), ("evaluation.samples_per_class", "from 2", "1")),
        (("evaluation.every=0",), ("evaluation.every", "at least 1", "0")),
        (("evaluation.latent_seed=abc",), ("evaluation.latent_seed", "whole number", "abc")),
        (("trainer.precision=16-mixed",), ("trainer.precision", "32-true", "16-mixed")),
        (("fl.rounds=1", "defense=feddetect"), ("fl.rounds", "at least 2", "1")),
        (("evaluation.grid_per_class=9",), ("evaluation.grid_per_class", "from 1 to 8", "9")),
        (("seed=one",), ("seed", "whole number", "one")),
        (("dataset.seed=-1",), ("dataset.seed", "at least 0", "-1")),
        (("attack.size=",), ("attack.size",)),
        (("fl=7",), ("fl must be one of centralized, fedavg", "7")),
        (("evaluation=7",), ("evaluation", "container")),
        (("dataset.image_size=${size}",), ("dataset.image_size", "'size' not found")),
        (("trainer.accelerator=abacus",), ("trainer.accelerator must be one of cpu", "abacus")),
        (("resume=7",), ("resume must be a run's folder, with config.yaml in it; got '", "/7'")),
        (("trainer.profiler=abc",), ("trainer: ", "profiler", "simple")),
        (("+model.optimizer_g.typo=1",), ("model.optimizer_g", "typo")),
        (("model.loss._target_=fedgan.gan.losses.Gone",), ("model.loss: ", "fedgan.gan.losses.Gone")),
        (("attack._target_=os.system",), ("attack", "os.system")),
        (("logger=wandb", "logger.wandb.mode=abc"), ("mode", "offline", "abc")),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, tuple) else value,
)
def test_settings(
    call: Call, capsys: pytest.CaptureFixture[str], overrides: tuple[str, ...], words: tuple[str, ...]
) -> None:
    message = refusal(call, capsys, train.main, *TINY, *overrides)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("typed", REFUSED)
def test_the_whole_line(call: Call, capsys: pytest.CaptureFixture[str], typed: str) -> None:
    assert refusal(call, capsys, train.main, *TINY, *typed.split()) == f"error: {REFUSED[typed]}"


def test_an_objective_that_the_run_proves_to_lack_is_reported(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    untriggered = [setting for setting in TINY if not setting.startswith("attack.")]
    chosen = ("fl.rounds=1", "attack=none", "metrics=[emission]", "objective=emission")
    assert call(train.main, *untriggered, *chosen) is None
    assert "objective=emission is not a metric of this run" in capsys.readouterr().err


def damage(folder: Path, kind: str) -> None:
    victims = sorted((folder / "train/benign").iterdir())
    if kind == "empty class":
        for file in victims:
            file.unlink()
    elif kind == "unreadable":
        victims[3].write_bytes(b"this is no picture")
    elif kind == "truncated":
        victims[3].write_bytes(victims[3].read_bytes()[:200])


@pytest.mark.parametrize(
    ("kind", "words"),
    [("empty class", ("benign",)), ("unreadable", ("3.png",)), ("truncated", ("3.png",))],
)
def test_folders(
    call: Call, capsys: pytest.CaptureFixture[str], image_folder: Path, kind: str, words: tuple[str, ...]
) -> None:
    files = sorted((image_folder / "train/benign").iterdir())
    damage(image_folder, kind)
    message = refusal(call, capsys, train.main, *TINY_FOLDER, f"dataset.root={image_folder}")
    expected = (files[3].name,) if kind != "empty class" else words
    assert all(word in message for word in expected), message


FOLDER = {
    "dataset.root=": "dataset.root must be the folder that holds the images; got ''",
    "dataset.root=x dataset.labels=": "dataset.labels must be a path, or null; got ''",
    "dataset.root=x dataset.cache_dir=": "dataset.cache_dir must be a path, or null; got ''",
    "dataset=medmnist dataset.file=": "dataset.file must be set to a MedMNIST .npz file; got ''",
    "dataset.root=x dataset.classes=[0,1]": 'dataset.classes must be names in quotes, such as ["0", "1"] or '
    '["no", "yes"]; got [0, 1]',
    "dataset.root=x dataset.classes=[a,b/c]": "dataset.classes must be names that a folder can have; got 'b/c'",
    "dataset=medmnist dataset.file=x dataset.classes=[a,..]": "dataset.classes must be names that a folder can have; "
    "got '..'",
    "dataset.root=x dataset.white=0": "dataset.white must be a whole number from 1 to 65535, or null; got 0",
    "dataset.root=x dataset.group_pattern=7": "dataset.group_pattern must be a regular expression, such as "
    r"'(person\d+|IM-\d+)', or null; got 7",
    "dataset.root=x dataset.columns.class=dx": "dataset.columns must be null without labels; got {'class': 'dx'}",
    "dataset.root=x dataset.labels=l.csv dataset.columns.split=true": "dataset.columns.split must be a column, "
    "false (none), or null; got True",
}


@pytest.mark.parametrize("typed", FOLDER)
def test_f17_f22_f30_the_whole_line_of_a_folder(call: Call, capsys: pytest.CaptureFixture[str], typed: str) -> None:
    assert refusal(call, capsys, train.main, *TINY_FOLDER, *typed.split()) == f"error: {FOLDER[typed]}"


def test_missing_root(call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "dataset.root" in refusal(call, capsys, train.main, *TINY_FOLDER)
    message = refusal(call, capsys, train.main, *TINY_FOLDER, f"dataset.root={tmp_path}/nowhere")
    assert "dataset.root" in message
    assert "nowhere" in message


def test_npz_with_pickled_objects(call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "executed"),))

    names = [f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("images", "labels")]
    np.savez(tmp_path / "evil.npz", **{name: np.array([Evil()], dtype=object) for name in names})
    overrides = [o for o in TINY if "dataset.t" not in o]
    message = refusal(call, capsys, train.main, *overrides, "dataset=medmnist", f"dataset.file={tmp_path}/evil.npz")
    assert "evil.npz" in message
    assert not (tmp_path / "executed").exists()


def no_finished_run(folder: Path) -> bool:
    return not list(folder.rglob("generator.safetensors")) and not list(folder.rglob("summary.json"))


def test_a_refused_run_leaves_nothing_that_looks_finished(
    call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    refusal(call, capsys, train.main, *TINY, "attack.size=33")
    assert no_finished_run(tmp_path)


def evil_metadata(spec: str) -> dict[str, str]:
    return {"fedgan": f'{{"spec": {spec}, "sha256": "0"}}'}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("run", "generator.safetensors")),
        (b"garbage", ("run", "not a generator")),
        ("{}", ("run", "not a generator")),
        (
            '{"target": "os.system", "arguments": {"command": "touch executed"}, "classes": [], "dataset": "", '
            '"rounds": 1, "attack": "", "defense": "", "emission": null}',
            ("fedgan.models", "os.system"),
        ),
        (
            '{"target": "fedgan.models.dcgan.Gone", "arguments": {}, "classes": ["a"], "dataset": "", '
            '"rounds": 1, "attack": "", "defense": "", "emission": null}',
            ("run", "not a generator"),
        ),
        (
            '{"target": "fedgan.models.gone.Gone", "arguments": {}, "classes": ["a"], "dataset": "", '
            '"rounds": 1, "attack": "", "defense": "", "emission": null}',
            ("run", "not a generator"),
        ),
    ],
    ids=["none", "garbage", "no spec", "foreign code", "no such class", "no such module"],
)
def test_run_folder_without_a_trustworthy_generator(
    call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: object, words: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    if isinstance(content, bytes):
        (run / "generator.safetensors").write_bytes(content)
    elif isinstance(content, str):
        save_file({"a": torch.zeros(1)}, run / "generator.safetensors", evil_metadata(content))
    message = refusal(call, capsys, sample.main, f"run={run}", f"out={tmp_path / 'out'}")
    assert all(word in message for word in words), message
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("out=o",), ("run",)),
        (("run=r",), ("out",)),
        (("run=r", "out=o", "per_class=0"), ("per_class", "at least 1", "0")),
        (("run=r", "out=o", "seed=abc"), ("seed", "whole number", "abc")),
        (("run=7", "out=2026"), ("run", "finished run", "7")),
        (("run=7", "out=2026_01_31"), ("run", "finished run", "7")),
        (("run=7", "out='12.50'"), ("run", "finished run", "7")),
        (("run=r", "out=full/file"), ("out", "empty folder", "full/file")),
        (("run=r", "out=full"), ("out", "empty folder", "full")),
        (("run=r", "out=o", "per_clas=3"), ("per_clas is not a setting", "per_class")),
    ],
)
def test_sample_settings(
    call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    message = refusal(call, capsys, sample.main, *arguments)
    assert all(word in message for word in words), message


def test_in_a_shell_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedgan.train", *TINY, "attack.size=33"]
    environment = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "attack.size" not in done.stdout
    assert done.stderr.strip().startswith("error: attack.size must be at most 31")
    assert len(done.stderr.strip().splitlines()) == 1


def test_full_error_shows_the_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedgan.train", *TINY, "fl.rounds=0"]
    environment = {**os.environ, "HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "fl.rounds must be a whole number of at least 1; got 0" in done.stderr
