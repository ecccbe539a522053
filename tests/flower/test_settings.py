"""What a server may have sites do: names of known components and numbers."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig

from fedgan.config.resume import leaves
from fedgan.flower.settings import PLAIN, taken, to_send
from tests.helpers.federation import SMALL

Configure = Callable[..., DictConfig]
NOTHING: dict[str, Any] = {"model": {"dcgan": {}}, "defense": {}, "plain": {}}


def changed(place: str, value: object) -> dict[str, Any]:
    """Settings as a server sends them, with one part of them replaced."""
    sent: dict[str, Any] = json.loads(json.dumps(NOTHING))
    *folders, last = place.split("/")
    node = sent
    for each in folders:
        node = node[each]
    node[last] = value
    return sent


def test_a_site_trains_with_the_servers_numbers(configure: Configure) -> None:
    cfg = configure(
        *SMALL,
        "attack=none",
        "defense=[feddetect,horizontal_flip,median]",
        "defense.horizontal_flip.probability=0.25",
        "defense.feddetect.samples=64",
        "model.optimizer_g.lr=0.001",
        "model.optimizer_g.betas=[0.5,0.9]",
        "fl.batch_size=4",
        "fl.proximal.mu=0.1",
        "seed=7",
    )
    sent = json.loads(json.dumps(to_send(cfg)))
    assert list(sent["model"]) == ["dcgan_small"]
    assert set(sent["defense"]) == {"feddetect", "horizontal_flip"}, "median acts at the server alone"
    own, site = leaves(cfg), leaves(taken(sent))
    trains = [key for key in own if key.startswith(("model.", "defense.feddetect.", "defense.horizontal_flip."))]
    assert {key: site[key] for key in (*trains, *PLAIN)} == {key: own[key] for key in (*trains, *PLAIN)}


def test_no_class_leaves_the_server(configure: Configure) -> None:
    assert "_target_" not in json.dumps(to_send(configure("attack=none", "defense=[gradient_penalty]")))
    with pytest.raises(ValueError, match="model must be one of fedgan's own"):
        to_send(configure("attack=none", "model.loss._target_=my_lab.losses.Mine"))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("model", {"../evil": {}}, "model must be one of dcgan"),
        ("model", {"dcgan": {}, "stylegan2": {}}, "model must be one choice"),
        ("model/dcgan", {"generator._target_": "os.system"}, "settings must be settings of training"),
        ("model/dcgan", {"optimizer_g._args_": [1]}, "settings must be settings of training"),
        ("model/dcgan", {"no_such": 1}, "settings must be settings of training"),
        ("model/dcgan", {"ema": "${oc.env:HOME}"}, "model.ema must be a number"),
        ("model/dcgan", {"ema": "/etc/passwd"}, "model.ema must be a number"),
        ("model/dcgan", {"ema": {"_target_": "os.system"}}, "model.ema must be a number"),
        ("model/dcgan", {"ema": ["a"]}, "model.ema must be a number"),
        ("defense", {"feddetect_cusum": {"spread": "x.json"}}, "settings must be settings of training"),
        ("defense", {"feddetect,evil": {}}, "defense must be one of"),
        ("plain", {"dataset.root": "here"}, "settings must be settings of training"),
        ("plain", {"trust": "os"}, "settings must be settings of training"),
        ("plain", None, "settings must be a mapping with plain"),
    ],
)
def test_what_is_neither_name_nor_number_is_refused(place: str, value: object, said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        taken(changed(place, value))
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_refused_differs_from_what_is_not() -> None:
    assert taken(changed("model/dcgan", {"ema": 0.5})).model.ema == 0.5
