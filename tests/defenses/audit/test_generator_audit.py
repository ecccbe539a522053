"""The audit in rounds by hand, and in a federation."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from fedgan.config import training
from fedgan.config.building.defenses import build_defenses
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State
from fedgan.defenses.audit.generator_audit import GeneratorAudit
from fedgan.defenses.audit.views import Map
from fedgan.defenses.base import Decision
from tests.helpers.runs import rows

Configure = Callable[..., DictConfig]
SMALL = ("defense=generator_audit", "defense.generator_audit.images_per_class=4")


class Painter:
    """Draws noise around what the state holds: an image for every class."""

    z_dim, num_classes = 4, 2

    def __call__(self, state: State, z: Tensor, labels: Tensor) -> Tensor:
        rng = torch.Generator().manual_seed(int(state["seed"]))
        noise = torch.randn(len(z), 1, 32, 32, generator=rng)
        return state["image"][labels] + noise


def updates(round_: int, trigger: float, clients: tuple[int, ...] = (0, 1, 2, 3), who: int = 2) -> list[ClientUpdate]:
    made = []
    for i in clients:
        image = torch.zeros(2, 1, 32, 32)
        image[:, 0, 28:30, 28:30] += trigger * (i == who)
        state = {"image": image, "seed": torch.tensor(1000 * round_ + i)}
        made.append(ClientUpdate(i, 8, state, {}))
    return made


def play(audit: GeneratorAudit, triggers: list[float], start: int = 0, clients: int = 4) -> list[Decision]:
    decisions = []
    for t, trigger in enumerate(triggers, start):
        round_ = Round(t, {}, frozenset(), num_clients=clients, renderer=Painter())
        sent = updates(t, trigger, tuple(range(clients)))
        equal = dict.fromkeys(range(clients), 1 / clients)
        decisions.append(audit.reweight(sent, equal, round_))
    return decisions


def ready(rounds: int = 20, **settings: object) -> GeneratorAudit:
    audit = GeneratorAudit(images_per_class=16, **settings)
    audit.setup(num_clients=4, clients_per_round=4, rounds=rounds)
    return audit


def test_the_attacker_loses_its_weight_and_nobody_else_does() -> None:
    audit = ready()
    decisions = play(audit, [1.0] * 8)
    assert [sorted(each.flagged) for each in decisions] == [[], [], *[[2]] * 6]
    assert dict(decisions[-1].weights) == pytest.approx({0: 1 / 3, 1: 1 / 3, 2: 0, 3: 1 / 3})
    shown = audit.client_receipts()
    assert (shown[2]["place_row"], shown[2]["place_column"]) in {(r, c) for r in (28, 29) for c in (28, 29)}
    assert shown[2]["place_score"] > audit.receipt()["threshold"] > max(shown[i]["place_score"] for i in (0, 1, 3))


@pytest.mark.parametrize(("typed", "least"), [("generator_audit", "4"), ("multi_krum", "5")])
def test_e8_an_error_names_the_defense_as_it_is_typed(typed: str, least: str, configure: Configure) -> None:
    cfg = configure(f"defense={typed}", "fl.num_clients=3", "fl.rounds=4")
    with pytest.raises(
        ValueError, match=rf"^fl.num_clients must be at least {least} for defense={typed} to tolerate 1 malicious "
    ):
        build_defenses(cfg)


def test_without_an_attacker_nobody_is_flagged() -> None:
    for seed in range(10):
        decisions = play(ready(), [0.0] * 10, start=100 * seed)
        assert not any(each.flagged for each in decisions)
        assert dict(decisions[-1].weights) == dict.fromkeys(range(4), 0.25)


def test_equalize_takes_colors_out_of_the_mean_image_alone() -> None:
    evidence = GeneratorAudit().evidence
    assert {view: each.equalized for view, each in evidence.items()} == {
        "place": True,
        "classes": False,
        "spectrum": False,
    }
    assert not any(each.equalized for each in GeneratorAudit(equalize=False).evidence.values())


def marked(marks: Mapping[int, tuple[int, float]], round_: int) -> dict[int, dict[str, Map]]:
    """Maps of these clients, noise around 3 x 3 pixels with a mark: the row where it is, and how strong."""
    maps = {}
    for i, (row, strength) in marks.items():
        plane = np.random.default_rng((i + 1) * 1000 + round_).normal(size=(1, 32, 32)) * 0.02
        plane[0, row : row + 3, row : row + 3] += strength
        maps[i] = {"place": plane}
    return maps


def test_an_attacker_that_fades_is_not_set_free_by_an_honest_client_with_a_weak_mark() -> None:
    """An excluded client's score falls, here from 73; the other's passes it in round 18, at 16."""
    audit, strength = GeneratorAudit(views=["place"]), 0.5
    audit.setup(num_clients=4, clients_per_round=4, rounds=40)
    flags, unusual = [], []
    for t in range(40):
        marks = {0: (4, strength), 1: (0, 0.0), 2: (0, 0.0), 3: (20, 0.028)}
        flags.append(audit.decide(marked(marks, t), dict.fromkeys(range(4), 0.25), t).flagged)
        unusual.append(audit.unusual("place", 0))
        strength *= 0.5 if 0 in flags[-1] else 1.0
    assert audit.score_of(3) > audit.threshold
    assert flags[:2] == [frozenset()] * 2
    released = unusual.index(False)
    assert flags[2:released] == [frozenset({0})] * (released - 2), "as long as it is unusual"
    assert flags[released:] == [frozenset({3})] * (40 - released), "then the place is free"


def test_two_attackers_of_five_stay_known_where_one_client_drops_out() -> None:
    """With four present one is flagged at most; the other is no new one when all are there again."""
    audit = GeneratorAudit(views=["place"], rewind=1)
    audit.setup(num_clients=5, clients_per_round=5, rounds=30)
    caught, excluded = [], []
    for t in range(30):
        present = [i for i in range(5) if not (i == 4 and t % 10 == 9)]
        marks = {i: (4 if i in (0, 1) else 0, 0.5 * (i in (0, 1))) for i in present}
        excluded.append(audit.decide(marked(marks, t), dict.fromkeys(present, 1 / len(present)), t).flagged)
        caught.append(audit.caught)
    assert [t for t in range(30) if caught[t]] == [2]
    assert [len(each) for each in excluded] == [0, 0, *(1 if t % 10 == 9 else 2 for t in range(2, 30))]


def test_a_client_that_was_absent_is_still_flagged() -> None:
    audit = GeneratorAudit(views=["place"], rewind=1)
    audit.setup(num_clients=5, clients_per_round=4, rounds=30)
    for t in range(6):
        present = [i for i in range(5) if i != (2 if t == 5 else 4)]
        decision = audit.decide(marked({i: (4, 0.5 * (i == 2)) for i in present}, t), dict.fromkeys(present, 0.25), t)
        assert decision.flagged == ({2} if 2 <= t < 5 else set())
    assert audit.flagged.keys() == {2}
    again = audit.decide(marked({i: (4, 0.5 * (i == 2)) for i in range(4)}, 6), dict.fromkeys(range(4), 0.25), 6)
    assert (again.flagged, audit.caught) == ({2}, False)


def test_those_who_are_not_flagged_share_the_weight_that_a_defense_before_left_to_the_flagged() -> None:
    audit = GeneratorAudit(views=["place"])
    audit.setup(num_clients=4, clients_per_round=4, rounds=10)
    krum = {0: 1.0, 1: 0.0, 2: 0.0, 3: 0.0}
    for t in range(4):
        decision = audit.decide(marked({i: (4, 0.5 * (i == 0)) for i in range(4)}, t), krum, t)
    assert decision.flagged == {0}
    assert dict(decision.weights) == pytest.approx({0: 0.0, 1: 1 / 3, 2: 1 / 3, 3: 1 / 3})
    assert audit.decide(marked(dict.fromkeys(range(4), (0, 0.0)), 4), {**krum, 0: 0.5, 1: 0.5}, 4).weights[1] == 1.0


def test_a_checkpoint_of_earlier_versions_has_no_scores_of_those_flagged() -> None:
    audit, other = GeneratorAudit(views=["place"]), GeneratorAudit(views=["place"])
    for each in (audit, other):
        each.setup(num_clients=4, clients_per_round=4, rounds=10)
    for t in range(4):
        audit.decide(marked({i: (4, 0.5 * (i == 0)) for i in range(4)}, t), dict.fromkeys(range(4), 0.25), t)
    state = audit.state_dict()
    other.load_state_dict(state)
    assert other.flagged == audit.flagged == {0: audit.score_of(0)}
    other.load_state_dict({**state, "flagged": [0]})
    other.decide(marked({i: (4, 0.5 * (i == 0)) for i in range(4)}, 4), dict.fromkeys(range(4), 0.25), 4)
    assert (other.flagged, other.caught) == ({0: other.score_of(0)}, False)


def test_a_client_that_stops_is_forgiven() -> None:
    decisions = play(ready(rounds=60, memory=0.7), [1.0] * 8 + [0.0] * 20)
    assert decisions[7].flagged == {2}
    assert not decisions[-1].flagged
    assert decisions[-1].weights[2] == 0.25


@pytest.mark.parametrize("drawn", [math.nan, math.inf, -math.inf, 3e38])
def test_a_client_that_draws_no_numbers_in_a_round_does_not_blind_the_audit(drawn: float) -> None:
    audit = ready()
    decisions = play(audit, [drawn] + 9 * [1.0])
    assert all(np.isfinite(plane).all() for planes in audit.planes.values() for plane in planes.values())
    assert [sorted(each.flagged) for each in decisions[-3:]] == [[2], [2], [2]]


def test_the_threshold_shares_the_false_alarms_out() -> None:
    assert ready(rounds=20, false_alarms=0.01).threshold == pytest.approx(math.log(3 * 20 / 0.01))
    assert ready(rounds=20, false_alarms=0.01, views=["place"]).threshold == pytest.approx(math.log(20 / 0.01))


def stubbed(audit: GeneratorAudit, scores: Mapping[int, float]) -> frozenset[int]:
    """Who is flagged after ``consecutive`` rounds in which clients have these scores."""
    audit.recent = {view: {i: [score] * audit.consecutive for i, score in scores.items()} for view in audit.views}
    return audit._flag(list(scores))


def test_a_flag_stays_until_nothing_is_unusual() -> None:
    audit = ready()
    usual = math.log(3 / 0.05)
    for score, expected in ((audit.threshold + 1, {2}), (usual + 0.1, {2}), (usual - 0.1, set())):
        assert stubbed(audit, {0: 0.0, 1: 0.0, 2: score, 3: 0.0}) == expected
    assert stubbed(audit, {0: 0.0, 1: 0.0, 2: audit.threshold * 0.9, 3: 0.0}) == set(), "from below it takes the whole"


def test_three_rounds_in_a_row_are_needed_in_one_view_and_three_usual_ones_to_be_let_go() -> None:
    audit = ready(consecutive=3)
    high, low = audit.threshold + 1, audit.release - 1

    def after(place: list[float], classes: list[float]) -> set[int]:
        quiet = {i: [0.0] * 3 for i in (0, 1, 3)}
        audit.recent = {
            "place": quiet | {2: place},
            "classes": quiet | {2: classes},
            "spectrum": quiet | {2: [0.0] * 3},
        }
        return set(audit._flag([0, 1, 2, 3]))

    assert after([high, high], [0.0, 0.0]) == set(), "two rounds are too few"
    assert after([high, low, high], [low, high, low]) == set(), "not one view three times"
    assert after([high, high, high], [0.0, 0.0, 0.0]) == {2}
    assert after([high, low, low], [low, low, low]) == {2}, "one of the last three was unusual"
    assert after([low, low, low], [low, low, low]) == set()


@pytest.mark.parametrize(("rounds", "settings"), [(2, {}), (3, {"warmup": 3}), (4, {"consecutive": 5})])
def test_an_audit_that_could_never_flag_is_refused(rounds: int, settings: dict[str, int]) -> None:
    with pytest.raises(
        ValueError, match=r"fl\.rounds must be at least [345] so that somebody can be flagged \(warmup="
    ):
        ready(rounds=rounds, **settings)
    ready(rounds=rounds, acts=False, **settings)


def test_an_audit_that_does_not_act_scores_and_flags_nobody() -> None:
    looks, acts = ready(acts=False), ready()
    decisions = play(looks, [1.0] * 8)
    play(acts, [1.0] * 8)
    assert not any(each.flagged for each in decisions)
    assert looks.client_receipts() == acts.client_receipts()


def test_the_release_is_never_above_the_threshold() -> None:
    strict = ready(rounds=3, false_alarms=0.9, views=["place"])
    assert strict.release == strict.threshold == pytest.approx(math.log(3 / 0.9))


def test_fewer_than_half_are_flagged_those_with_the_highest_scores() -> None:
    assert stubbed(ready(), {0: 90.0, 1: 80.0, 2: 70.0, 3: 0.0, 4: 100.0}) == {0, 4}
    assert stubbed(ready(), {0: 90.0, 1: 80.0, 2: 70.0, 3: 0.0}) == {0}


def flipped(audit: GeneratorAudit) -> Decision:
    """What it says after eight rounds in which client 1 of 4 has the classes' images the wrong way round."""
    means = torch.zeros(2, 1, 32, 32)
    means[0, 0, 10:14, 10:14], means[1, 0, 18:22, 18:22] = 0.5, 0.5
    for t in range(8):
        sent = [
            ClientUpdate(i, 8, {"image": means.flip(0) if i == 1 else means, "seed": torch.tensor(100 * t + i)}, {})
            for i in range(4)
        ]
        round_ = Round(t, {}, frozenset(), num_clients=4, renderer=Painter())
        decision = audit.reweight(sent, dict.fromkeys(range(4), 0.25), round_)
    return decision


def test_flipped_labels_are_seen_in_the_classes_alone() -> None:
    audit = ready()
    decision = flipped(audit)
    assert decision.flagged == {1}
    shown = audit.client_receipts()[1]
    assert shown["classes_score"] > audit.threshold > shown["place_score"]


def test_it_continues_as_if_it_had_never_stopped() -> None:
    once, first, second = ready(), ready(), ready()
    play(once, [1.0] * 4)
    play(first, [1.0] * 4)
    second.load_state_dict(first.state_dict())
    expected, found = play(once, [1.0] * 3, start=4), play(second, [1.0] * 3, start=4)
    assert expected == found
    assert once.client_receipts() == second.client_receipts()


@pytest.mark.parametrize("clients", [2, 3])
def test_fewer_than_four_clients_are_refused(clients: int) -> None:
    with pytest.raises(ValueError, match=r"^fl\.num_clients must be at least 4 for GeneratorAudit"):
        GeneratorAudit().setup(num_clients=clients, clients_per_round=clients, rounds=5)


@pytest.mark.parametrize("views", [[], ["place", "place"], ["color"], "place"])
def test_views_are_named(views: object) -> None:
    with pytest.raises(ValueError, match=r"^views must be a list of place, classes, spectrum, each once at most"):
        GeneratorAudit(views=views)


def test_a_run_leaves_maps_and_scores_and_resumes_to_the_bit(configure: Configure, tmp_path: Path) -> None:
    once = training.train(configure(*SMALL, "fl.rounds=5"), tmp_path / "once")
    training.train(configure(*SMALL, "fl.rounds=3"), tmp_path / "twice")
    again = training.train(configure(*SMALL, "fl.rounds=5", f"resume={tmp_path / 'twice'}"), tmp_path / "twice")
    assert again["generator_sha256"] == once["generator_sha256"]
    shown = rows(tmp_path / "once" / "receipts.csv")
    scores = [row for row in shown if row["measure"] == "place_score"]
    assert [(row["round"], row["client"]) for row in scores] == [(str(t), str(i)) for t in range(5) for i in range(4)]
    folder = tmp_path / "once/defenses/generator_audit"
    assert sorted(file.name for file in folder.iterdir()) == ["classes.png", "place.png", "spectrum.png"]
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "twice/defenses/generator_audit" / file.name).read_bytes()
        assert np.asarray(Image.open(file)).std() > 5


def test_some_clients_per_round(configure: Configure, tmp_path: Path) -> None:
    sampled = ("fl.num_clients=6", "fl.clients_per_round=4", "fl.rounds=4", "fl.batch_size=4")
    training.train(configure(*SMALL, *sampled), tmp_path / "run")
    scored = [row for row in rows(tmp_path / "run/receipts.csv") if row["measure"] == "place_score"]
    assert [sum(row["round"] == str(t) for row in scored) for t in range(4)] == [4] * 4


def test_f18_a_flagged_client_is_compared_with_the_others_where_it_differs() -> None:
    audit = ready()
    (*_, decision) = play(audit, [1.0] * 8)
    assert decision.flagged == {2}
    shown = audit.comparisons()
    assert list(shown) == list(audit.views)
    compared = shown["place"][2]
    assert compared.own.shape == compared.others.shape == (1, 32, 32)
    apart = (compared.own - compared.others)[0, 28:30, 28:30]
    assert apart.mean().item() == pytest.approx(1.0, abs=0.4), "the trigger; noise of 0.1"
    assert compared.images.shape == (2, 1, 32, 32)
    assert all((2 in shown[view]) == (audit.score(view, 2) > audit.threshold) for view in audit.views)
    assert not any(clients.keys() - {2} for clients in shown.values())
    assert not any(ready().comparisons().values()), "nobody yet"


def test_a_client_above_the_threshold_is_shown_where_the_audit_only_watches() -> None:
    audit = ready(acts=False)
    (*_, decision) = play(audit, [1.0] * 8)
    assert not decision.flagged
    assert list(audit.comparisons()["place"]) == [2]


@pytest.mark.parametrize("equalize", [True, False])
def test_a_picture_leaves_out_what_the_score_leaves_out(equalize: bool) -> None:
    """One client with another scanner and a patch: the patch is what differs, unless colors count."""
    audit, scene = ready(equalize=equalize), np.random.default_rng(0).uniform(-0.6, 0.4, (1, 32, 32))
    rng = np.random.default_rng(1)
    for t in range(4):
        seen = {i: scene + 0.01 * rng.normal(size=scene.shape) for i in range(4)}
        seen[2] = 1.3 * seen[2] + 0.2
        seen[2][:, 20:25, 20:25] += 0.25
        maps = {i: {view: each if view == "place" else scene for view in audit.views} for i, each in seen.items()}
        decision = audit.decide(maps, dict.fromkeys(range(4), 0.25), t)
    audit.examples = dict.fromkeys(range(4), torch.zeros(2, 1, 32, 32))
    assert decision.flagged == {2}
    compared = audit.comparisons()["place"][2]
    apart = (compared.own - compared.others).abs()[0]
    inside = apart[20:25, 20:25].mean()
    apart[20:25, 20:25] = 0
    assert (inside > 5 * apart.mean()) == equalize


def test_f18_of_flipped_labels_a_class_is_shown_and_of_a_spectrum_no_image() -> None:
    audit = ready()
    flipped(audit)
    compared = audit.comparisons()["classes"][1]
    difference = (compared.own - compared.others)[0]
    assert difference[10:14, 10:14].mean().item() == pytest.approx(-0.5, abs=0.1)
    assert difference[18:22, 18:22].mean().item() == pytest.approx(0.5, abs=0.1)
    spectrum = audit._compared("spectrum", 1)
    assert (spectrum.own.shape, len(spectrum.images)) == ((1, 32, 15), 0)
