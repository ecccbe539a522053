"""Fixtures of most tests; functions that they share are in tests/helpers."""

import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Tests side by side get a thread each; with more they wait for each other. Before torch is imported, which reads it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from fedgan.config.refusals import CONF
from tests.helpers.federation import TINY


def pytest_configure() -> None:
    """Runs flush every file to disk, and tests make thousands: they go to memory where there is plenty."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 8 * 1024**3:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.fixture(autouse=True, scope="session")
def _conf_parsed_once() -> Iterator[None]:
    """Hydra parses all files of conf/ anew for each command; a third of a refusal's time."""
    load, kept = OmegaConf.load, dict[tuple[str, int], bytes]()

    def load_once(file: Any) -> Any:
        path = str(getattr(file, "name", file))
        if not path.startswith(str(CONF)):
            return load(file)
        key = (path, os.stat(path).st_mtime_ns)
        if key not in kept:
            kept[key] = pickle.dumps(load(file))
        return pickle.loads(kept[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", staticmethod(load_once))
        yield


@pytest.fixture(autouse=True, scope="session")
def _composed_once() -> Iterator[None]:
    """Hydra composes all settings one time more to see whether they set hydra.mode, which no file of conf/ does."""
    ask = Hydra.get_mode

    def get_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        typed = any(override.lstrip("+").startswith("hydra.mode=") for override in overrides)
        return ask(self, config_name, overrides) if typed else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", get_mode)
        yield


@pytest.fixture(autouse=True)
def _no_hydra_left_over() -> Iterator[None]:
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither read nor write the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def one_thread_each(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In runs of several processes too: sums are split over threads, the same bits need the same number of them."""
    import torch  # not before OMP_NUM_THREADS is set above

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def forked_processes(one_thread_each: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of several processes start the others by forking, which saves seconds each; see ``tests.helpers.forked``."""
    from fedgan.federated import strategy
    from tests.helpers.forked import Forked

    monkeypatch.setattr(strategy, "subprocess", SimpleNamespace(Popen=Forked))


@pytest.fixture
def configure() -> Callable[..., DictConfig]:
    """Compose the configuration of a training run: the tiny settings, then the given overrides."""

    def build(*overrides: str, tiny: bool = True) -> DictConfig:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            own = [each for each in TINY if not ("attack=none" in overrides and each.startswith("attack."))]
            return compose("config", overrides=[*(own if tiny else ()), *overrides])

    return build


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Call a command as the shell does, in an empty folder."""

    def run(main: Callable[[], Any], *arguments: str) -> Any:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        try:
            return main()
        finally:
            GlobalHydra.instance().clear()
            # main() leaves it as it was found; the next call must not take it for the user's wish.
            monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    return run


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """train/ and test/ with 24 and 6 noise images of each of two classes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 6)):
        for name in ("benign", "malignant"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "images"
