"""Components of the user's own package: trained, resumed, scored, sampled, and spread over processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedgan import evaluate, sample, train, utility
from fedgan.core.arguments import validated
from fedgan.runs.allowlist import Packages, build_trusted, is_trusted
from tests.helpers.runs import own_package, refusal

Call = Callable[..., Any]

MY_LAB = {
    "my_lab/networks.py": """
from fedgan.models.dcgan import DCGANGenerator

class MyGenerator(DCGANGenerator):
    pass
""",
    "my_lab/scaling.py": """
from dataclasses import replace
from fedgan.update_attacks.base import UpdateAttack

class MyScaling(UpdateAttack):
    def __init__(self, *, factor, **window):
        super().__init__(**window)
        self.factor = factor

    def __str__(self):
        return f"my scaling by {self.factor:g}"

    def alter(self, own, known, round_):
        deltas = [round_.delta(update.state) for update in own]
        grown = [{name: self.factor * d for name, d in delta.items()} for delta in deltas]
        return [replace(u, state=round_.moved(d, u.state)) for u, d in zip(own, grown)]
""",
    "my_lab/median.py": """
import torch
from fedgan.defenses.base import Aggregate, Defense

class MyMedian(Defense):
    def aggregate(self, updates, weights, round_):
        states = [update.state for update in updates]
        state = {}
        for name in states[0]:
            values = torch.stack([each[name] for each in states])
            state[name] = values.double().quantile(0.5, dim=0).to(values.dtype)
        return Aggregate(state, weights=None)
""",
    "my_conf/update_attack/my_scaling.yaml": "_target_: my_lab.scaling.MyScaling\nfactor: 3.0\n",
    "my_conf/defense/my_median.yaml": "# @package defense.my_median\n_target_: my_lab.median.MyMedian\n",
}
MINE = ("--config-dir=my_conf", "update_attack=my_scaling", "defense=my_median", "fl.num_clients=5")
OWN_NETWORK = "model.generator._target_=my_lab.networks.MyGenerator"
FEW = ("dataset.image_size=32", "dataset.train_per_class=25", "dataset.test_per_class=8", "model=dcgan")
QUICK = (
    *FEW,
    *("model.generator.base_channels=4", "model.discriminator.base_channels=4", "fl.rounds=2", "fl.batch_size=5"),
    *("metrics=[none]", "logger=none", "trainer.enable_progress_bar=false", "evaluation.samples_per_class=8"),
)


@pytest.fixture
def my_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a user's package and its configuration are."""
    return own_package(tmp_path, MY_LAB, monkeypatch)


def test_a_run_with_own_components_is_resumed_scored_sampled_and_studied(
    call: Call, my_lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(train.main, *MINE, *QUICK, OWN_NETWORK, "hydra.run.dir=run")
    assert "my scaling by 3" in capsys.readouterr().err
    weights = [row.split(",")[9] for row in (my_lab / "run/clients.csv").read_text().splitlines()[1:]]
    assert weights == [""] * 10, "a median has no weights"
    uses = (
        (train.main, ("resume=run", "fl.rounds=3")),
        (evaluate.main, ("run=run", "metrics=[diversity]", "samples_per_class=4")),
        (sample.main, ("run=run", "per_class=2", "out=drawn")),
        (
            utility.main,
            (
                "run=run",
                "real_per_class=[2]",
                "seeds=[0]",
                "classifier.epochs=1",
                "classifier.least_steps_per_epoch=1",
                "hydra.run.dir=study",
            ),
        ),
    )
    for main, arguments in uses:
        message = refusal(call, capsys, main, *arguments)
        assert "my_lab" in message
        assert "trust=" in message
        call(main, *arguments, "trust=[my_lab]")
    assert json.loads((my_lab / "run/summary.json").read_text())["rounds"] == 3
    assert len(list((my_lab / "drawn").rglob("*.png"))) == 4


def test_two_processes_make_the_same_generator_as_one(my_lab: Path) -> None:
    digests = []
    for settings in ((), ("trainer.devices=2", "trust=[my_lab]")):
        folder = my_lab / f"run_{len(digests)}"
        command = [sys.executable, "-m", "fedgan.train", *MINE, *QUICK, *settings, f"hydra.run.dir={folder}"]
        paths = os.pathsep.join((str(my_lab), os.getcwd()))
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=my_lab, env=environment, check=True, capture_output=True, timeout=300)
        digests.append(json.loads((folder / "summary.json").read_text())["generator_sha256"])
    assert digests[0] == digests[1]


def test_a_process_that_ends_at_its_start_is_not_waited_for(my_lab: Path) -> None:
    failing = "import os\nif 'LOCAL_RANK' in os.environ:\n    raise ImportError('not on this machine')\n"
    (my_lab / "my_lab/__init__.py").write_text(failing)
    two = ("trainer.devices=2", "trust=[my_lab]", "hydra.run.dir=run")
    command = [sys.executable, "-m", "fedgan.train", *MINE, *QUICK, *two]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(my_lab), os.getcwd())), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=my_lab, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert "error: trust: my_lab cannot be imported (not on this machine)" in done.stderr
    assert done.stderr.endswith("error: another process of this run ended at its start (exit code 1)\n")


def test_what_the_other_processes_could_not_build_is_refused_at_once(
    call: Call, my_lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(call, capsys, train.main, *MINE, *QUICK, "trainer.devices=2", "hydra.run.dir=run")
    assert "several processes: update_attack._target_" in message or "several processes: defense" in message
    assert not (my_lab / "run").exists()


def test_trust_is_never_read_from_a_folder(call: Call, my_lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(train.main, *MINE, *QUICK, "trust=[my_lab]", "hydra.run.dir=run")
    settings = my_lab / "run/config.yaml"
    assert "trust: []" in settings.read_text()
    settings.write_text(settings.read_text().replace("trust: []", "trust: [my_lab]"))
    assert "my_lab" in refusal(call, capsys, train.main, "resume=run", "fl.rounds=3")


@pytest.mark.parametrize(
    ("target", "trusted"),
    [
        ("pytorch_lightning.Trainer", True),
        ("pytorch_lightning.loggers.CSVLogger", True),
        ("pytorch_lightning.loggers.MLFlowLogger", True),
        ("pytorch_lightning.loggers.TensorBoardLogger", True),
        ("pytorch_lightning.loggers.WandbLogger", True),
        ("pytorch_lightning.loggers.CometLogger", False),
        ("torch.optim.SGD", True),
        ("torch.optim.lr_scheduler", False),
        ("torch.optim.NoSuchOptimizer", False),
        ("torch.nn.Linear", False),
        ("fedgan.defenses.robust.median.Median", True),
        ("fedgan.defenses.robust.median.Aggregate", False),
        ("fedgan.defenses.robust.median.by_coordinate", False),
        ("fedgan.defenses.robust.median.Mean", False),
        ("fedgan.defenses.base_case.Median", False),
        ("fedgans.defenses.median.Median", False),
        ("os.system", False),
        ("median", False),
    ],
)
def test_a_folder_may_name_classes_of_fedgan_optimizers_and_a_few_of_lightnings(target: str, trusted: bool) -> None:
    assert is_trusted(target) is trusted


def test_trust_adds_the_classes_of_a_package_and_not_what_it_imported(my_lab: Path) -> None:
    own, imported = "my_lab.median.MyMedian", "my_lab.median.Defense"
    assert [is_trusted(own), is_trusted(own, ["my_lab"]), is_trusted(imported, ["my_lab"])] == [False, True, False]
    made = build_trusted("run", "my_lab.scaling.MyScaling", {"factor": 3.0}, "fedgan.update_attacks", ["my_lab"])
    assert made.factor == 3.0
    for target in (imported, "my_lab.scaling.replace"):
        refused = f"^run must be a class of fedgan.defenses or my_lab; got '{target}'$"
        with pytest.raises(ValueError, match=refused):
            build_trusted("run", target, {}, "fedgan.defenses", ["my_lab"])


@pytest.mark.parametrize("packages", ["my_lab", 3, ["a-b"], ["os.path; import x"]])
def test_other_than_a_list_of_names_is_refused(packages: object) -> None:
    with pytest.raises(ValueError, match="^trust must be a list of names of your own packages"):
        validated("trust", Packages, packages)


def test_a_package_within_another_may_be_trusted() -> None:
    assert validated("trust", Packages, ["json", "os.path"]) == ["json", "os.path"]


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="^trust: no_such_lab cannot be imported"):
        validated("trust", Packages, ["no_such_lab"])
