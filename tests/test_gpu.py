"""On a GPU: the same commands, the same contracts. Skipped where there is none.

The numbers are not those of a CPU, for a GPU draws other random numbers; from the same draws they are.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from fedgan import evaluate, sample, utility
from fedgan.config import training
from fedgan.config.building.defenses import build_defenses
from fedgan.core.precision import rounding
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.robust.coordinates import ordered
from fedgan.defenses.robust.foolsgold import FoolsGold
from fedgan.gan.client import GANClient
from fedgan.models.stylegan2 import low_pass
from fedgan.update_attacks.neurotoxin import Neurotoxin
from tests.helpers.federation import DCGAN, SMALL, STYLEGAN2, build
from tests.helpers.runs import outcome, resume

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is to be found here")
Configure = Callable[..., DictConfig]
Call = Callable[..., Any]

TRAINER, DEVICE = "gpu", "cuda"
DATA = (
    "dataset.image_size=32",
    "dataset.train_per_class=32",
    "dataset.test_per_class=16",
    "attack=white_square",
    "attack.size=8",
    "fl.batch_size=8",
    "evaluation.samples_per_class=8",
    "metrics=[emission,pattern,frechet,diversity]",
    "logger=none",
    "trainer.enable_progress_bar=false",
    f"trainer={TRAINER}",
)
RUNS = {
    "dcgan": DCGAN,
    "dcgan_small": (
        *SMALL,
        "attack=random_patch",
        "dataset=lesion_phantom",
        "defense=feddetect",
        "defense.feddetect.warmup=0",
    ),
    "stylegan2": (*STYLEGAN2, "defense=[feddetect,horizontal_flip,rotation]", "defense.feddetect.warmup=0"),
    "gradient penalty": (*DCGAN, "defense=gradient_penalty"),
    "reconstruction": (
        *DCGAN,
        "defense=reconstruction",
        "defense.reconstruction.images_per_class=8",
        "defense.reconstruction.epochs=2",
    ),
    "vectorized": (*SMALL, "fl/backend=vectorized"),
    "shared fakes": (*SMALL, "model.shared_fakes=true"),
    "few at a time": (*SMALL, "fl.clients_per_round=2", "fl.dropout=0.3"),
    "TensorFloat-32": (*SMALL, "trainer.precision=tf32-true"),
    "bfloat16": (*SMALL, "trainer.precision=bf16-mixed"),
    "bfloat16, vectorized": (*DCGAN, "trainer.precision=bf16-mixed", "fl/backend=vectorized"),
    "bfloat16, vectorized, gradient penalty": (
        *DCGAN,
        "trainer.precision=bf16-mixed",
        "fl/backend=vectorized",
        "defense=gradient_penalty",
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_repeats_and_resumes_to_the_bit(name: str, configure: Configure, tmp_path: Path) -> None:
    settings = (*DATA, *RUNS[name])
    training.train(configure(*settings, "fl.rounds=3", tiny=False), tmp_path / "straight")
    record = json.loads((tmp_path / "straight/run.json").read_text())
    assert record["device"] == torch.cuda.get_device_name(0)
    assert record["peak_memory_bytes"]["device"] > 0
    run, first = tmp_path / "run", 3 if name == "reconstruction" else 2  # its fine-tuning is the end of a run
    training.train(configure(*settings, f"fl.rounds={first}", tiny=False), run)
    if first < 3:
        resume(configure, run, "fl.rounds=3")
    assert outcome(run) == outcome(tmp_path / "straight")


@pytest.mark.parametrize("engine", ["serial", "vectorized"])
@pytest.mark.parametrize("model", [DCGAN, SMALL, STYLEGAN2], ids=lambda model: model[0])
def test_from_the_same_draws_come_the_same_numbers_as_on_a_cpu(
    model: tuple[str, ...], engine: str, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every random number is drawn on the CPU, one after the other, a round agrees as far as float32 does."""
    common = torch.Generator()
    for name in ("randn", "rand", "randperm"):
        monkeypatch.setattr(torch, name, drawn_on_the_cpu(getattr(torch, name), common))
    losses = {}
    for device in (torch.device("cpu"), torch.device(DEVICE)):
        common.manual_seed(0)
        # Rates of 0: a step of Adam's turns a rounding error near zero into a whole step.
        frozen = ("model.optimizer_g.lr=0", "model.optimizer_d.lr=0", f"fl/backend={engine}")
        cfg = configure(*DATA, *model, *frozen, tiny=False)
        federation = build(cfg, defenses=build_defenses(cfg)).to(device)
        federation.backend.settle(device, federation.profiler)
        with rounding("32-true"):
            updates, _ = federation.backend.train(range(4), federation.this_round())
            losses[device.type] = [update.metrics for update in updates]
    for mine, theirs in zip(losses["cpu"], losses[DEVICE], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)


def drawn_on_the_cpu(draw: Callable[..., Tensor], rng: torch.Generator) -> Callable[..., Tensor]:
    def drawn(*shape: int, generator: object = None, device: Any = "cpu", **how: Any) -> Tensor:
        return draw(*shape, generator=rng, **how).to(device)

    return drawn


@pytest.mark.parametrize("shared_fakes", ["false", "true"])
@pytest.mark.parametrize(
    ("model", "mode"), [(SMALL, "default"), (SMALL, "reduce-overhead"), (STYLEGAN2, "default")], ids=str
)
def test_compiled_networks_take_the_same_step(
    model: tuple[str, ...], mode: str, shared_fakes: str, configure: Configure
) -> None:
    cfg = configure(
        *DATA,
        *model,
        f"model.shared_fakes={shared_fakes}",
        "model.optimizer_g.lr=0",
        "model.optimizer_d.lr=0",
        tiny=False,
    )
    clients: list[GANClient] = []
    for compile_mode in (None, mode):
        cfg.model.compile = compile_mode
        federation = build(cfg).to(DEVICE)
        federation.backend.settle(torch.device(DEVICE), federation.profiler)
        clients.append(federation.backend.clients[0])
    data = federation.backend.data[0].at(0).to(torch.device(DEVICE))
    plain, compiled = (
        one.train_locally(data, epochs=2, batch_size=8, rng=torch.Generator(DEVICE).manual_seed(0)) for one in clients
    )
    assert plain == pytest.approx(compiled, rel=1e-3)


def test_what_comes_after_a_run(configure: Configure, call: Call, tmp_path: Path) -> None:
    """Samples, scores and classifiers, on the GPU or not, from a run that was trained on it."""
    run = tmp_path / "run"
    training.train(configure(*DATA, *SMALL, "fl.rounds=2", tiny=False), run)
    before = outcome(run)
    call(sample.main, f"run={run}", "per_class=3", f"out={tmp_path / 'images'}")
    assert len(list((tmp_path / "images").rglob("*.png"))) == 6
    values = []
    for name in ("once", "again"):
        chosen = ("metrics=[emission,frechet,diversity]", "samples_per_class=8", f"device={DEVICE}")
        call(evaluate.main, f"run={run}", *chosen, f"out={tmp_path / name}.json")
        values.append(json.loads((tmp_path / f"{name}.json").read_text())["metrics"])
    assert values[0] == values[1]
    quick = ("classifier.epochs=1", "real_per_class=[4]", "seeds=[0]", "synthetic_per_class=4")
    call(utility.main, f"run={run}", *quick, f"accelerator={DEVICE}", f"hydra.run.dir={tmp_path / 'utility'}")
    assert (tmp_path / "utility/utility.json").is_file()
    assert outcome(run) == before


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_low_pass_filter_and_its_gradient_are_those_of_a_cpu(dtype: torch.dtype) -> None:
    x = torch.randn(2, 5, 17, 9, generator=torch.Generator().manual_seed(0), dtype=dtype)
    found = []
    for device in ("cpu", DEVICE):
        images = x.double() if device == "cpu" else x.to(device)
        images.requires_grad_()
        filtered = low_pass(images)
        gradient = torch.autograd.grad(filtered.square().sum(), images)[0]
        found.append((filtered.detach().cpu().double(), gradient.cpu().double()))
    for mine, theirs in zip(*found, strict=True):
        scale = float(mine.abs().max())
        assert float((mine - theirs).abs().max()) <= scale * (1e-12 if dtype is torch.float64 else 0.02)


def test_columns_are_sorted_as_on_a_cpu() -> None:
    values = torch.randn(7, 1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = ordered(values.to(DEVICE))
    assert found.device.type == DEVICE
    assert torch.equal(found.cpu(), torch.sort(values, dim=0).values)


def test_what_a_checkpoint_remembers_on_the_cpu_meets_updates_on_the_gpu() -> None:
    """Generator 1 in round 0 and 3 in round 1; the client moves by 1 in each."""
    updates, rounds = [], []
    for device, value in (("cpu", 1.0), (DEVICE, 3.0)):
        start = {"w": torch.full((2,), value, device=device)}
        rounds.append(Round(len(rounds), start, frozenset({"w"}), num_clients=1))
        updates.append([ClientUpdate(0, 8, {"w": start["w"] + 1.0}, {})])
    rule, resumed_rule, attack, resumed_attack = FoolsGold(), FoolsGold(), Neurotoxin(), Neurotoxin()
    rule.rate(updates[0], rounds[0])
    attack.watch(rounds[0])
    resumed_rule.load_state_dict(rule.state_dict())
    resumed_attack.load_state_dict(attack.state_dict())
    resumed_rule.rate(updates[1], rounds[1])
    resumed_attack.watch(rounds[1])
    assert resumed_rule.history[0]["w"].tolist() == [2.0, 2.0]
    assert resumed_attack.step is not None
    assert resumed_attack.step["w"].tolist() == [2.0, 2.0]
