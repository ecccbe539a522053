"""Random input: readers and settings either take it or refuse it in one line; nothing else is ever raised."""

import copy
import functools
import io
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from fedgan.config.building.attackers import build_malicious
from fedgan.config.building.defenses import build_defenses, single_server_training
from fedgan.config.building.federation import build_federation
from fedgan.config.refusals import CONF, REFUSALS, explain
from fedgan.config.resume import leaves
from fedgan.config.training import check_settings
from fedgan.config.validate import check_objective
from fedgan.core.images import Splits
from fedgan.datasets.medmnist import MedMNIST
from fedgan.datasets.reading.decoding import decode_image
from fedgan.federated.attackers import Attackers
from fedgan.federated.data import set_apart, share_out
from fedgan.scoring.callback import Evaluator
from tests.helpers.images import random_images

# The same examples in every run; the deadline is there to notice what would take for ever.
steady = settings(derandomize=True, database=None, deadline=timedelta(seconds=20))

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow warns of what it mends

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
Damage = tuple[int, int, float]
# How many bytes are changed, from which stream of random numbers, and which share of the file is kept.
damages = st.tuples(st.integers(0, 12), st.integers(0, 2**32), st.sampled_from([1.0, 1.0, 0.9, 0.5, 0.05]))


def damaged(content: bytes, damage: Damage) -> bytes:
    count, seed, share = damage
    rng, spoilt = random.Random(seed), bytearray(content)
    for _ in range(count):
        # Half of the changes at the beginning, where the headers are.
        spoilt[rng.randrange(min(len(spoilt), rng.choice([64, len(spoilt)])))] = rng.randrange(256)
    return bytes(spoilt[: int(share * len(spoilt))])


def valid_image(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(file, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}))
    return file.getvalue()


def valid_npz() -> bytes:
    rng, file = np.random.default_rng(0), io.BytesIO()
    arrays: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (2, 3, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(2)[:, None]
    np.savez(file, **arrays)
    return file.getvalue()


IMAGES = {kind: valid_image(kind) for kind in FORMATS}
NPZ = valid_npz()


def one_line(error: Exception, word: str) -> None:
    assert "\n" not in str(error)
    assert word in str(error), str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def read_image(file: Path, content: bytes) -> bool:
    """Whether it could be read."""
    file.write_bytes(content)
    try:
        decoded = decode_image(file, 8, 3).pixels
    except ValueError as error:
        one_line(error, repr(str(file)))
        return False
    assert (decoded.shape, decoded.dtype) == ((3, 8, 8), np.uint8)
    return True


@settings(steady, max_examples=500)
@given(kind=st.sampled_from(FORMATS), damage=damages)
def test_damaged_images(folder: Path, kind: str, damage: Damage) -> None:
    readable = read_image(folder / "a.png", damaged(IMAGES[kind], damage))
    assert readable or damage[0] or damage[2] < 1.0


@settings(steady, max_examples=300)
@given(magic=st.sampled_from([b"", *(content[:8] for content in IMAGES.values())]), noise=st.binary(max_size=200))
def test_noise_for_an_image(folder: Path, magic: bytes, noise: bytes) -> None:
    read_image(folder / "a.png", magic + noise)


def read_npz(file: Path, content: bytes) -> bool:
    """Whether it could be read."""
    file.write_bytes(content)
    try:
        splits = MedMNIST(file=str(file), image_size=4).load()
    except ValueError as error:
        one_line(error, repr(str(file)))
        return False
    assert splits.train.images.dtype == torch.uint8
    assert splits.train.images.shape[-2:] == (4, 4)
    assert 0 <= int(splits.train.labels.min()) <= int(splits.train.labels.max()) < len(splits.classes)
    return True


@settings(steady, max_examples=500)
@given(damage=damages)
def test_damaged_npz(folder: Path, damage: Damage) -> None:
    readable = read_npz(folder / "a.npz", damaged(NPZ, damage))
    assert readable or damage[0] or damage[2] < 1.0


@settings(steady, max_examples=200)
@given(magic=st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00"]), noise=st.binary(max_size=200))
def test_noise_for_an_npz(folder: Path, magic: bytes, noise: bytes) -> None:
    assert not read_npz(folder / "a.npz", magic + noise)


# Settings

SMALL = (
    *("metrics=[none]", "logger=none", "dataset.image_size=32", "attack=white_square", "attack.size=8"),
    "fl.malicious=[0]",
    *("model.generator.z_dim=4", "fl.batch_size=2", "evaluation.samples_per_class=4", "evaluation.grid_per_class=2"),
)
COMPOSITIONS = (
    (
        *("model.generator.base_channels=2", "model.discriminator.base_channels=2", "metrics=[emission,frechet]"),
        *(
            "fl.rounds=4",
            "defense=[feddetect_code,gradient_penalty]",
            "defense.feddetect_code.warmup=1",
            "objective=emission",
        ),
    ),
    (
        *("dataset=image_folder", "dataset.root=x", "attack=random_patch", "model=dcgan"),
        *("model.generator.base_channels=2", "model.discriminator.base_channels=2"),
        *("defense=[horizontal_flip,rotation]", "metrics=[lpips,kid,memorization,diversity]"),
    ),
    (
        *("dataset=medmnist", "dataset.file=x", "model=stylegan2", "model.generator.channel_base=64"),
        *("model.discriminator.base_channels=2", "defense=[reconstruction]", "metrics=[precision_recall,transfer]"),
        "defense.reconstruction.images_per_class=2",
    ),
)
OTHERS = ("name", "resume", "logger")  # folders, or another library's
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2, 3, 7, 2**63, 10**30]),  # none in between, which would be granted its gigabytes
    st.sampled_from([-0.5, 0.0, 0.3, 1.0, 1.5, 1e300, float("nan"), float("inf")]),
    st.text(max_size=6),
    st.sampled_from(["${seed}", "${nowhere}", "???"]),
    st.lists(st.one_of(st.integers(-1, 3), st.text(max_size=3)), max_size=2),
)


SPLITS = Splits("noise", random_images(16), random_images(8, seed=1))


@functools.cache
def composed(which: int) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[*SMALL, *COMPOSITIONS[which]])


def build(cfg: DictConfig, folder: Path) -> None:
    """Everything that a run is made of, before the Trainer."""
    leaves(cfg)  # resolves all, as when a run writes its settings down
    check_settings(cfg)
    attack, defenses = instantiate(cfg.attack), build_defenses(cfg)
    metrics = {name: instantiate(part) for name, part in cfg.metrics.items()}
    check_objective(cfg.objective, [name for metric in metrics.values() for name in metric.names])
    instantiate(cfg.dataset)
    _, training = single_server_training(defenses)
    server_images, images = set_apart(SPLITS, training.images_per_class, cfg.seed)
    update_attack, partition = instantiate(cfg.update_attack), instantiate(cfg.partition)
    malicious = build_malicious(cfg, attack, update_attack)
    federated_data = share_out(images, partition, attack, malicious, cfg.fl.num_clients, cfg.seed)
    attackers, own = Attackers(malicious, update_attack), server_images if training.trains else None
    build_federation(cfg, SPLITS, federated_data, attackers, defenses, own)
    asked = OmegaConf.to_container(cfg.evaluation, resolve=True)
    assert isinstance(asked, dict)
    del asked["every"]
    Evaluator(metrics, splits=SPLITS, trigger=federated_data.trigger, seed=cfg.seed, folder=folder, **asked)


@pytest.mark.parametrize("which", range(len(COMPOSITIONS)))
def test_what_is_composed_can_be_built(folder: Path, which: int) -> None:
    build(composed(which), folder)


@settings(steady, max_examples=120)
@given(which=st.integers(0, len(COMPOSITIONS) - 1), choice=st.integers(0, 2**16), value=VALUES)
def test_any_value_for_any_setting(folder: Path, which: int, choice: int, value: Any) -> None:
    cfg = copy.deepcopy(composed(which))
    keys = [k for k in leaves(cfg) if not k.endswith(("_target_", "_partial_")) and k.partition(".")[0] not in OTHERS]
    key = keys[choice % len(keys)]
    try:
        OmegaConf.update(cfg, key, value)
        build(cfg, folder)
    except REFUSALS as error:
        line = explain(error)
        assert "\n" not in line
        assert any(part in line for part in key.split(".")), f"{key}={value!r}: {line}"
