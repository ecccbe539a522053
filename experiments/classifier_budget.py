"""How many steps a classifier of Figure 7 needs: accuracy on real images alone and with perfect synthetic ones.

python -m experiments.classifier_budget chestx=PATH isic=PATH

The perfect synthetic images are further real training images: nothing could be more like real ones. What they add must
not depend on how long the classifiers are trained, or the curve shows training time: in a fixed number of steps a real
image is seen the less often, the more synthetic images there are. So the classifier's own number of steps, and twice
that, are tried next to fixed numbers.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

from annotated_types import MinLen
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from experiments.measures import cell, read_rows
from experiments.paper.inference import interval
from experiments.paper.runs import composed
from experiments.paper.writing import Row, markdown, write_csv, write_text
from experiments.settings import quoted
from fedgan.config.command import command
from fedgan.core.arguments import Count, Numbers, validated
from fedgan.core.checks import check
from fedgan.core.files import write_json
from fedgan.core.folders import claim
from fedgan.core.images import ImageSet, Splits
from fedgan.core.precision import repeatable
from fedgan.downstream.classifier import ClassifierRecipe
from fedgan.downstream.study import first_of_each
from fedgan.runs.provenance import git_state, versions

ALONE, WITH = "real only", "real + perfect synthetic"
DRAWN, READ = ("chest_phantom", "lesion_phantom"), ("chestx", "isic")  # what needs no folder, and what does
DECISIVE = ("classifier", "image_size", "perfect_per_class", "test_per_class")  # the rest chooses among fits
Key = tuple[str, int, str, str, int]  # data set, real images of each class, arm, budget, seed


@dataclass(frozen=True)
class Fit:
    """One classifier.

    Attributes:
        data: the data set.
        real_per_class: real training images of each class.
        arm: whether it had perfect synthetic images too.
        budget: its number of steps as it was set, such as ``900 steps`` or ``2 x own``.
        seed: of the choice of images, the first weights and the batches.
        images: that it was trained on, all classes together.
        steps: of training.
        visits: how often each of them was seen, on average.
        accuracy: share of the test images that it recognizes, mean over classes.
        seconds: that training and testing took.
    """

    data: str
    real_per_class: int
    arm: str
    budget: str
    seed: int
    images: int
    steps: int
    visits: float
    accuracy: float
    seconds: float


@command("classifier_budget")
def main(cfg: DictConfig) -> None:
    """Train what is not in this folder yet; write and print the table."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    check_settings(cfg)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    sets = {name: load(name, cfg) for name in (*DRAWN, *(each for each in READ if cfg[each] is not None))}
    for name, splits in sets.items():
        allowed = f"fewer than the training images of each class of {name}, {splits.train.counts}"
        enough = max(cfg.real_per_class) < min(splits.train.counts.values())
        check(enough, "real_per_class", allowed, list(cfg.real_per_class))
    check_record(folder, cfg, sets)
    with repeatable(cfg.accelerator):
        fits = carry_out(sets, cfg, folder / "budget.csv")
    rows = table(fits)
    write_text(folder / "budget.md", markdown(rows))
    print(markdown(rows), folder / "budget.csv", sep="\n")


def check_settings(cfg: DictConfig) -> None:
    """Refuse, before anything is loaded, what no component checks."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    rules = {"real_per_class": Annotated[Sequence[Count], MinLen(1)], "seeds": Numbers}
    rules |= dict.fromkeys(("steps", "times"), Sequence[Count])
    rules |= dict.fromkeys(("perfect_per_class", "test_per_class", "image_size"), Count)
    for name, rule in rules.items():
        validated(name, rule, plain[name])
    epochs = int(cfg.classifier.epochs)
    whole = not any(steps % epochs for steps in cfg.steps)
    check(whole, "steps", f"multiples of classifier.epochs={epochs}", list(cfg.steps))


def load(name: str, cfg: DictConfig) -> Splits:
    """The data set; as many drawn images as the study can use."""
    drawn = [
        f"dataset.train_per_class={max(cfg.real_per_class) + cfg.perfect_per_class}",
        f"dataset.test_per_class={cfg.test_per_class}",
    ]
    own = drawn if name in DRAWN else [f"dataset.root={quoted(str(cfg[name]))}"]
    settings = composed("config", [f"dataset={name}", f"dataset.image_size={cfg.image_size}", *own])
    splits: Splits = instantiate(settings.dataset).load()
    return splits


def check_record(folder: Path, cfg: DictConfig, sets: Mapping[str, Splits]) -> None:
    """Write budget.json: what the fits depend on, and what made them.

    Raises:
        ValueError: in one line, if the folder's fits were made otherwise. Seeds, steps, data sets, and numbers of real
            images below the largest may come and go: they choose among fits.
    """
    claim(folder, ["budget.json", "budget.csv", "budget.md"], "hydra.run.dir")
    path, settings = folder / "budget.json", OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)
    now: dict[str, Any] = {name: settings[name] for name in DECISIVE}
    now |= {name: [each.train.fingerprint, each.test.fingerprint] for name, each in sets.items()}
    before = json.loads(path.read_text()) if path.is_file() else {}
    changed = [name for name, value in now.items() if before.get(name, value) != value]
    check(not changed, "hydra.run.dir", f"a folder without fits of another {' and '.join(changed)}", str(folder))
    write_json(path, before | now | {"git": git_state(), "versions": versions()})


def carry_out(sets: Mapping[str, Splits], cfg: DictConfig, file: Path) -> list[Fit]:
    """All fits of the file, which grows with every fit; those that it has are not repeated."""
    fits = {key_of(fit): fit for fit in map(read_fit, read_rows(file) if file.is_file() else ())}
    budgets = [*(f"{steps} steps" for steps in cfg.steps), *(f"{times} x own" for times in cfg.times)]
    wanted = product(cfg.seeds, sets, cfg.real_per_class, budgets, (ALONE, WITH))
    plan: list[Key] = [(data, n, arm, budget, seed) for seed, data, n, budget, arm in wanted]
    missing = [key for key in plan if key not in fits]
    for key in track(missing, "training classifiers", console=Console(stderr=True)):
        fits[key] = fit(sets[key[0]], key, cfg)
        write_csv(file, [asdict(each) for each in fits.values()])
    return list(fits.values())


def fit(splits: Splits, key: Key, cfg: DictConfig) -> Fit:
    """Train one classifier, and classify the test images."""
    data, n, arm, budget, seed = key
    start = time.perf_counter()
    images = training_images(splits.train, n, arm, cfg.perfect_per_class, seed)
    recipe = recipe_of(cfg, budget, images)
    right = (recipe.fit(images, seed).classify(splits.test.images) == splits.test.labels).double()
    recalls = [float(right[splits.test.labels == label].mean()) for label in range(len(splits.classes))]
    batches, seconds = recipe.batches(images, seed), round(time.perf_counter() - start, 3)
    steps, visits = recipe.epochs * len(batches), recipe.epochs * batches.draws / len(images)
    return Fit(data, n, arm, budget, seed, len(images), steps, visits, mean(recalls), seconds)


def recipe_of(cfg: DictConfig, budget: str, images: ImageSet) -> ClassifierRecipe:
    """The classifier's recipe within this budget, of which each epoch has its share."""
    own: ClassifierRecipe = instantiate(cfg.classifier)
    number, _, unit = budget.partition(" ")
    steps = int(number) // own.epochs if unit == "steps" else int(number) * len(own.batches(images, seed=0))
    recipe: ClassifierRecipe = own if budget == "1 x own" else instantiate(cfg.classifier, steps_per_epoch=steps)
    return recipe


def key_of(fit: Fit) -> Key:
    """What distinguishes a fit from the others."""
    return fit.data, fit.real_per_class, fit.arm, fit.budget, fit.seed


def read_fit(row: Mapping[str, str]) -> Fit:
    """A line of budget.csv."""
    counts = (int(row[name]) for name in ("seed", "images", "steps"))
    sizes = (float(row[name]) for name in ("visits", "accuracy", "seconds"))
    return Fit(row["data"], int(row["real_per_class"]), row["arm"], row["budget"], *counts, *sizes)


def training_images(train: ImageSet, real_per_class: int, arm: str, perfect_per_class: int, seed: int) -> ImageSet:
    """The first images of each class in the seed's order; with them, as perfect synthetic ones, the next.

    Args:
        train: all real training images.
        real_per_class: see ``Fit``.
        arm: see ``Fit``.
        perfect_per_class: at most; as many of each class as the smallest class has left.
        seed: see ``Fit``.
    """
    added = min(perfect_per_class, min(train.counts.values()) - real_per_class)
    count = real_per_class + (added if arm == WITH else 0)
    return train.subset(first_of_each(train, count, keyed_seed=seed, purpose="real"))


def table(fits: Sequence[Fit]) -> list[Row]:
    """One line per data set, number of real images and budget: both arms, and what the perfect images add.

    The gain is paired by seed; its 95 % t interval is over seeds.
    """
    cases: dict[tuple[str, int, str], list[Fit]] = {}
    for fit in fits:
        cases.setdefault((fit.data, fit.real_per_class, fit.budget), []).append(fit)
    order = sorted(cases, key=lambda case: (case[:2], " own" in case[2], int(case[2].partition(" ")[0])))
    return [row_of(*case, cases[case]) for case in order]


def row_of(data: str, real_per_class: int, budget: str, fits: Sequence[Fit]) -> Row:
    """One line of the table."""
    alone, both = ({fit.seed: fit for fit in fits if fit.arm == arm} for arm in (ALONE, WITH))
    gains = [both[seed].accuracy - alone[seed].accuracy for seed in alone if seed in both]
    low, high = interval(gains) if len(gains) > 1 else (None, None)
    return {
        "data": data,
        "real images per class": str(real_per_class),
        "budget": budget,
        "steps": " / ".join(f"{mean(f.steps for f in arm.values()):.0f}" for arm in (alone, both)),
        "visits of a real image": " / ".join(f"{mean(f.visits for f in arm.values()):.1f}" for arm in (alone, both)),
        ALONE: cell([fit.accuracy for fit in alone.values()], digits=4),
        WITH: cell([fit.accuracy for fit in both.values()], digits=4),
        "gain": cell(gains, digits=4),
        "95 % interval": "-" if low is None else f"{low:.4f} to {high:.4f}",
        "seeds": str(len(gains)),
    }


if __name__ == "__main__":
    main()
