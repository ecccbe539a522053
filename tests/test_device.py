"""The round on another device, where there is none: torch's meta device computes shapes and nothing else,
but like a GPU it refuses tensors of the host in its operations.
"""

from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig
from pytorch_lightning.profilers import PassThroughProfiler

from fedgan.config.building.defenses import build_defenses
from fedgan.core.update import weighted_mean
from tests.helpers.federation import DCGAN, STYLEGAN2, build

Configure = Callable[..., DictConfig]
META = torch.device("meta")
SMALL = ("model=dcgan_small",)
SETTINGS = (
    "defense=none",
    "defense=gradient_penalty",
    "defense=[horizontal_flip,rotation]",
    "model.shared_fakes=true",
)


def test_the_meta_device_does_refuse_what_is_on_the_host() -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(3, device=META) + torch.zeros(3)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("model", [DCGAN, SMALL, STYLEGAN2], ids=lambda model: model[0])
def test_nothing_of_a_round_is_on_the_host(model: tuple[str, ...], setting: str, configure: Configure) -> None:
    data = ("dataset.image_size=32", "dataset.train_per_class=16", "dataset.test_per_class=4", "fl.batch_size=8")
    cfg = configure(*data, *model, setting, "model.ema=0.5", tiny=False)
    federation = build(cfg, defenses=build_defenses(cfg)).to(META)
    federation.backend.clients.settle(META, PassThroughProfiler())
    client = federation.backend.clients[0]
    images, labels = (
        part.to(META) for part in (federation.backend.data[0].at(0).images, federation.backend.data[0].at(0).labels)
    )
    before = client.snapshot()
    for _ in range(2):
        losses = client.step(images, labels, torch.Generator())
    client.restore(before)
    federation.propose(weighted_mean([c.generator.state_dict() for c in federation.backend.clients], [0.25] * 4))
    federation.configure_optimizers().step()
    federation._release()
    drawn = federation.validation_step((torch.randn(4, federation.z_dim, device=META), labels[:4]), 0)
    tensors = [*losses.values(), drawn, *federation.state_dict().values()]
    assert {tensor.device for tensor in tensors} == {META}
