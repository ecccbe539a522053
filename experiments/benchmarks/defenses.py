"""What each defense adds to a round, at the server and in the clients' local training.

python -m experiments.benchmarks defenses
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil
from pathlib import Path
from statistics import median

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from experiments.benchmarks.base import Benchmark, Row, in_turn
from experiments.benchmarks.gpu import noise
from experiments.benchmarks.overhead import configured
from fedgan.config.building.algorithm import build_algorithm
from fedgan.config.help.library import build
from fedgan.config.refusals import options
from fedgan.core.arguments import Count, checked
from fedgan.core.images import to_float
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Defense, ServerTraining, overrides
from fedgan.federated.rendering import GeneratorRenderer
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform
from fedgan.gan.client import GANClient
from fedgan.gan.losses import NonSaturating
from fedgan.gan.recipe import Recipe

LATE = 1_000  # a round after every warm-up
MOST = 1_000  # clients up to which the least number that a defense takes is looked for


@dataclass(frozen=True)
class Case:
    """A generator, and the local training that a round of it takes.

    Attributes:
        overrides: of conf/config.yaml.
        sizes: numbers of clients; a defense that takes more is measured with the fewest that it takes.
        images_per_client: training images of a client, whatever their number.
        timed_images: how many of them a client's round is timed on; the time is scaled to all. None for all.
        distinct: clients whose states are in memory, each of which stands for several; defenses are then measured
            one by one, so that what each keeps of its clients can go. None: all clients, all defenses in turn.
    """

    overrides: Sequence[str]
    sizes: Sequence[int]
    images_per_client: int
    timed_images: int | None = None
    distinct: int | None = None

    @cached_property
    def cfg(self) -> DictConfig:
        """The configuration of a run."""
        return configured(*self.overrides)

    @property
    def timed(self) -> int:
        """Images that a client's round is timed on."""
        return self.timed_images or self.images_per_client

    @property
    def trained(self) -> int:
        """Images that a client trains on in a round: full batches, each epoch."""
        return int(self.cfg.fl.local_epochs) * (self.images_per_client // self.batch) * self.batch

    @property
    def batch(self) -> int:
        """Images of a batch."""
        return int(self.cfg.fl.batch_size)

    @property
    def timed_batch(self) -> int:
        """Images of a batch that is timed: fewer where fewer are timed."""
        return min(self.batch, self.timed)


@checked
class Defenses(Benchmark):
    """Every defense of conf/defense/ by itself: seconds of a round, and their share of the clients' local training.

    Updates are the reference with Gaussian noise, which costs what real ones cost. Clients train one after the other,
    so the training of a round is one client's times their number. What a defense adds where clients train is measured
    on one client. Defenses that act after training alone are left out: they have no share of a round.

    Args:
        cases: by name, what a ``Case`` takes.
        defenses: their names; None for all.
        repeats: of each measurement.
    """

    title = "what a defense adds to a round, as a share of the clients' local training"
    goal = "at most 5 % at 16 clients at the paper's size, but for those that train more by design"

    def __init__(
        self,
        *,
        cases: Mapping[str, Mapping[str, object]],
        defenses: Sequence[str] | None = None,
        repeats: Count = 3,
    ) -> None:
        super().__init__(repeats=repeats)
        self.cases = {str(name): Case(**settings) for name, settings in cases.items()}  # type: ignore[arg-type]
        self.names = list(defenses) if defenses is not None else options("defense")

    def measure(self, folder: Path) -> list[Row]:
        """A row for each case, number of clients and defense."""
        return [row for name, case in self.cases.items() for row in self._rows(name, case)]

    def _rows(self, name: str, case: Case) -> list[Row]:
        defenses = {each: defense for each in self.names if per_round(defense := built(each))}
        own = client_seconds(case, Defense(), self.repeats)
        added = {each: local_seconds(case, defense, own, self.repeats) for each, defense in defenses.items()}
        rows = []
        for count, names in by_clients(defenses, case.sizes).items():
            served = serve_seconds(case, names, count, self.repeats)
            for each, seconds in served.items():
                per_client, once = added[each]
                local = per_client * count + once
                rows.append(
                    {
                        "case": name,
                        "defense": each,
                        "clients": count,
                        "server (s)": seconds,
                        "more training (s)": local,
                        "training (s)": own * count,
                        "share (%)": 100 * (seconds + local) / (own * count),
                    }
                )
        return rows


def built(name: str) -> Defense:
    """A defense with its defaults; FedAvg's mean for ``none``."""
    defense = Defense() if name == "none" else build(name, "defense")
    assert isinstance(defense, Defense)
    return defense


def per_round(defense: Defense) -> bool:
    """Whether a defense has a part in a round: all but those that train after the last one alone."""
    training = defense.server_training()
    return training is None or training.every_round


def by_clients(defenses: Mapping[str, Defense], sizes: Sequence[int]) -> dict[int, list[str]]:
    """The defenses by the numbers of clients that they are measured with, ascending.

    Example:
        >>> from fedgan.defenses.robust.krum import Krum
        >>> by_clients({"none": Defense(), "krum": Krum()}, [4, 16])
        {4: ['none'], 5: ['krum'], 16: ['none', 'krum']}
    """
    found: dict[int, list[str]] = {}
    for size in sizes:
        for name, defense in defenses.items():
            least = next(count for count in range(size, MOST) if takes(defense, count))
            if name not in found.setdefault(least, []):
                found[least].append(name)
    return dict(sorted(found.items()))


def takes(defense: Defense, num_clients: int) -> bool:
    """Whether a defense takes a federation of this size; it is then set up for it."""
    try:
        defense.setup(num_clients=num_clients, clients_per_round=num_clients, rounds=LATE + 1)
    except ValueError:
        return False
    return True


def serve_seconds(case: Case, names: Sequence[str], count: int, repeats: int) -> dict[str, float]:
    """The server's part of a round with each defense: medians, by name."""
    updates, round_ = drawn(case, count)
    found: dict[str, float] = {}
    for group in [names] if case.distinct is None else [[name] for name in names]:
        sides = {name: partial(serve, server_with(name, count), updates, round_) for name in group}
        found |= {name: median(seconds) for name, seconds in in_turn(sides, repeats).items()}
    return found


def server_with(name: str, count: int) -> Server:
    """A server with this defense, set up for so many clients."""
    defense = built(name)
    assert takes(defense, count)
    return Server({name: defense}, Uniform())


@torch.no_grad()
def serve(server: Server, updates: Sequence[ClientUpdate], round_: Round) -> None:
    """One round at the server."""
    server.serve(updates, round_)


def drawn(case: Case, count: int) -> tuple[list[ClientUpdate], Round]:
    """Random updates of a case's generator, and the round."""
    splits = noise(case.cfg, 2)
    generator = build_algorithm(case.cfg.model, splits, case.cfg.seed).generator
    reference = {name: tensor.detach().clone() for name, tensor in generator.state_dict().items()}
    names = frozenset(name for name, _ in generator.named_parameters())
    rng = torch.Generator().manual_seed(0)

    def moved() -> dict[str, Tensor]:
        return {
            name: tensor + 0.01 * torch.randn(tensor.shape, generator=rng) if name in names else tensor
            for name, tensor in reference.items()
        }

    losses = torch.randn(count, generator=rng).tolist()
    scalars = [dict.fromkeys(("loss_g", "loss_d", "loss_g_last", "loss_g_final"), loss) for loss in losses]
    states = [moved() for _ in range(min(count, case.distinct or count))]
    updates = [ClientUpdate(i, case.images_per_client, states[i % len(states)], scalars[i]) for i in range(count)]
    renderer = GeneratorRenderer(generator, len(splits.classes), splits.image_size)
    return updates, Round(LATE, reference, names, count, root=moved(), renderer=renderer)


def client(case: Case, defense: Defense) -> GANClient:
    """A client that trains under a defense."""
    algorithm = build_algorithm(case.cfg.model, noise(case.cfg, 2), case.cfg.seed)
    algorithm.defend([defense.adapt], defense.transform_batch)
    made = algorithm.client()
    assert isinstance(made, GANClient)
    return made


def training(case: Case, defense: Defense) -> Callable[[], object]:
    """A client's local training on the images that are timed, in batches of at most the run's."""
    trainee, images = client(case, defense), noise(case.cfg, case.timed).train
    rng = torch.Generator().manual_seed(0)
    return lambda: trainee.train_locally(images, epochs=1, batch_size=case.timed_batch, rng=rng)


def scale(case: Case) -> float:
    """How many times the images that are timed a client trains on in a round."""
    return case.trained / (case.timed // case.timed_batch * case.timed_batch)


def client_seconds(case: Case, defense: Defense, repeats: int) -> float:
    """One client's local training of a round."""
    return scale(case) * median(in_turn({"training": training(case, defense)}, repeats)["training"])


def local_seconds(case: Case, defense: Defense, own: float, repeats: int) -> tuple[float, float]:
    """What a defense adds where images are trained on: in each client, and once a round at the server.

    Args:
        case: the generator.
        defense: the defense.
        own: seconds of a client's local training without it.
        repeats: of each measurement.
    """
    server = defense.server_training() or ServerTraining(0)
    once = own * server.images_per_class * len(noise(case.cfg, 2).train.classes) / case.images_per_client
    if overrides(defense, "transform_batch"):
        return transform_seconds(case, defense, repeats), once
    recipe = Recipe(nn.Identity(), NonSaturating(), torch.optim.Adam, torch.optim.Adam)
    if defense.adapt(recipe) is recipe:
        return 0.0, once
    if client(case, defense).loss_samples:
        return loss_seconds(case, defense, repeats), once
    sides = {"with": training(case, defense), "without": training(case, Defense())}
    seconds = in_turn(sides, repeats)
    more = median(one - other for one, other in zip(seconds["with"], seconds["without"], strict=True))
    return scale(case) * more, once


def transform_seconds(case: Case, defense: Defense, repeats: int) -> float:
    """A client's batches of a round, as a defense changes them."""
    images, rng = to_float(noise(case.cfg, case.batch).train.images), torch.Generator().manual_seed(0)
    seconds = in_turn({"batch": lambda: defense.transform_batch(images, rng)}, repeats)["batch"]
    return median(seconds) * case.trained / case.batch


def loss_seconds(case: Case, defense: Defense, repeats: int) -> float:
    """The loss that a client measures after its training, timed on as many latents as a timed batch has images."""
    judge, rng = client(case, defense), torch.Generator().manual_seed(0)
    latents = ceil(judge.loss_samples / case.batch) * case.batch
    judge.loss_samples, labels = case.timed_batch, noise(case.cfg, 2).train.labels
    seconds = in_turn({"loss": lambda: judge.final_loss(labels, batch_size=case.timed_batch, rng=rng)}, repeats)
    return median(seconds["loss"]) * latents / case.timed_batch
