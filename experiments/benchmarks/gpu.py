"""The paper's preset on one GPU: training images per second by arithmetic, layout and compilation.

python -m experiments.benchmarks gpu
"""

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.profilers import PassThroughProfiler
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmarks.base import Benchmark, Row, in_turn, paired_ratio
from experiments.benchmarks.overhead import configured
from fedgan.attacks.base import Attack
from fedgan.config.building.algorithm import build_algorithm
from fedgan.config.building.federation import build_federation
from fedgan.core.arguments import Count, checked
from fedgan.core.images import ImageSet, Splits
from fedgan.core.precision import deterministic, rounding
from fedgan.core.update import ClientUpdate
from fedgan.federated.attackers import Attackers
from fedgan.federated.data import share_out
from fedgan.federated.federation import Federation
from fedgan.partitions.iid import IID
from fedgan.update_attacks.base import UpdateAttack

META = torch.device("meta")  # shapes without numbers: all that counting needs


@dataclass(frozen=True)
class Variant:
    """A way to do the same training.

    Attributes:
        name: what the table calls it.
        overrides: of conf/config.yaml.
        channels_last: False undoes the memory format that fedgan uses.
        gpu_only: whether it makes no sense on a CPU.
    """

    name: str
    overrides: Sequence[str] = ()
    channels_last: bool = True
    gpu_only: bool = False


class Contiguous(TorchFunctionMode):
    """Takes every request for channels_last as one for the contiguous format.

    Example:
        >>> with Contiguous():
        ...     images = torch.zeros(1, 3, 2, 2).to(memory_format=torch.channels_last)
        >>> images.is_contiguous()
        True
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("memory_format") is torch.channels_last:
            kwargs["memory_format"] = torch.contiguous_format
        return func(*args, **kwargs)


@checked
class GPU(Benchmark):
    """What a round's local training costs, in every variant; images are noise, for their content costs nothing.

    Args:
        variants: by name, what a ``Variant`` takes; measured one after the other, for together they might not fit.
        overrides: of conf/config.yaml, for all variants.
        without_gpu: further overrides where there is none: a toy, which shows that it runs.
        steps: local steps of each client that one measurement takes.
        images_per_client: of the run that is extrapolated to.
        product_size: side of the square bf16 matrices whose product is the measure of the device.
        repeats: measurements of each variant.
    """

    title = "training images per second, real ones that a discriminator sees"
    goal = "over 1,000 images per second on one H100"

    def __init__(
        self,
        *,
        variants: Mapping[str, Mapping[str, Any]],
        overrides: Sequence[str],
        without_gpu: Sequence[str],
        steps: Count,
        images_per_client: Count,
        product_size: Count,
        repeats: Count = 5,
    ) -> None:
        super().__init__(repeats=repeats)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = self.device.type == "cuda"
        self.overrides = [*overrides, *(() if on_gpu else without_gpu)]
        known = [Variant(str(name), **settings) for name, settings in variants.items()]
        self.variants = [variant for variant in known if on_gpu or not variant.gpu_only]
        self.left_out = [variant.name for variant in known if variant not in self.variants]
        self.steps, self.images_per_client, self.product_size = steps, images_per_client, product_size
        self._flops: dict[str, float] = {}

    def measure(self, folder: Path) -> list[Row]:
        """One row per variant; one that fails says why."""
        if self.left_out:
            print(f"no GPU, so left out: {'; '.join(self.left_out)}", file=sys.stderr)
        rows = []
        for variant in self.variants:  # minutes each where a compiler is at work: each is shown as it comes
            rows.append(self._row(variant))
            print(*(f"{column} {value}" for column, value in rows[-1].items()), sep="  ", file=sys.stderr)
        return rows

    def _flops_per_image(self, variant: Variant) -> float:
        """Of one local step, D's and G's, by torch's counter, which sees neither compiled nor mapped code."""
        plain = ("model.compile=null", "fl/backend=serial")
        few = ("fl.num_clients=2", "fl.malicious=0")  # one of them is counted
        cfg = configured(*self.overrides, *variant.overrides, *plain, *few)
        step = OmegaConf.to_yaml(cfg.model)  # the same for most variants
        if step not in self._flops:
            images = noise(cfg, cfg.fl.batch_size).train.to(META)
            client = build_algorithm(cfg.model, noise(cfg, 2), cfg.seed).client().to(META)
            with FlopCounterMode(display=False) as counter:
                client.step(images.images, images.labels, torch.Generator())
            self._flops[step] = float(counter.get_total_flops()) / len(images)
        return self._flops[step]

    def _row(self, variant: Variant) -> Row:
        try:
            rate, share, memory = self._rate(variant)
            note = ""
        except Exception as error:  # whatever a compiler or a full device leads to: the others are still measured
            rate = share = memory = float("nan")
            note = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        finally:
            gc.collect()
            torch.cuda.empty_cache()
        fl = configured(*self.overrides).fl
        images = fl.rounds * fl.num_clients * (self.images_per_client // fl.batch_size) * fl.batch_size
        return {
            "variant": variant.name,
            "images/s": rate,
            "share of bf16 products": share,
            "memory (GB)": memory,
            f"hours for {fl.rounds} rounds": images / rate / 3600,
            "note": note,
        }

    def _rate(self, variant: Variant) -> tuple[float, float, float]:
        """Images per second, the share of the device's rate that they take, and the peak of its memory in GB."""
        cfg, flops = configured(*self.overrides, *variant.overrides), self._flops_per_image(variant)
        on_gpu = self.device.type == "cuda"
        with arithmetic(variant, cfg, self.device):
            federation = federation_of(cfg, self.steps, self.device)
            images = sum(federation.backend.images_of(i) for i in range(federation.num_clients))
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            seconds = in_turn({"round": partial(train, federation), "product": self._product()}, self.repeats)
        share = paired_ratio(seconds["product"], seconds["round"]) * images * flops / (2 * self.product_size**3)
        memory = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else float("nan")
        return images / median(seconds["round"]), share, memory

    def _product(self) -> partial[Tensor]:
        one, other = torch.randn(2, self.product_size, self.product_size, device=self.device).bfloat16()
        return partial(torch.mm, one, other)


def federation_of(cfg: DictConfig, steps: int, device: torch.device) -> Federation:
    """A federation without an attacker, on noise: ``steps`` batches per client, everything on ``device``."""
    splits = noise(cfg, cfg.fl.num_clients * steps * cfg.fl.batch_size)
    data = share_out(splits.train, IID(), Attack(), frozenset(), cfg.fl.num_clients, cfg.seed)
    federation = build_federation(cfg, splits, data, Attackers(frozenset(), UpdateAttack()), {}).to(device)
    federation.backend.settle(device, PassThroughProfiler())
    return federation


def train(federation: Federation) -> list[ClientUpdate]:
    """The clients' part of a round.

    Raises:
        ValueError: if one has failed; a federation would continue without it.
    """
    updates, events = federation.backend.train(range(federation.num_clients), federation.this_round())
    if len(updates) < federation.num_clients:
        raise ValueError(str(events[0]))
    return updates


@contextmanager
def arithmetic(variant: Variant, cfg: DictConfig, device: torch.device) -> Iterator[None]:
    """What a Trainer with these settings, and the variant beyond them, has torch do."""
    precision, benchmark = str(cfg.trainer.precision), bool(cfg.trainer.get("benchmark", False))
    with ExitStack() as stack:
        stack.enter_context(deterministic(bool(cfg.trainer.deterministic)))
        stack.enter_context(rounding(precision))
        allow_tf32 = torch.backends.cudnn.allow_tf32
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=benchmark, allow_tf32=allow_tf32))
        if precision == "bf16-mixed":
            # Without the cache, as in Lightning: the weights change while this context lasts.
            stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False))
        if not variant.channels_last:
            stack.enter_context(Contiguous())
        yield


def noise(cfg: DictConfig, count: int) -> Splits:
    """Images of the data set's shape, drawn at random; both classes in turn."""
    rng = torch.Generator().manual_seed(0)
    shape = (count, cfg.dataset.get("channels", 1), cfg.dataset.image_size, cfg.dataset.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng)
    drawn = ImageSet(images, torch.arange(count) % 2, ("NORMAL", "PNEUMONIA"))
    return Splits("noise", drawn, drawn)
