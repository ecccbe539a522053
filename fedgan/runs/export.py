"""generator.safetensors: the generator that leaves the federation, with what is needed to load it, and no code."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Predicate
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from fedgan.core.arguments import Allowed, also, validated
from fedgan.core.checks import check
from fedgan.core.files import atomic_write
from fedgan.core.precision import laid_out
from fedgan.core.update import state_hash
from fedgan.core.words import counted, reason_of
from fedgan.models.base import Generator
from fedgan.runs.allowlist import build_trusted

FILE_NAME = "generator.safetensors"
MODELS = "fedgan.models"
KEY = "fedgan"  # of the file's metadata
# What a damaged, foreign or older file leads to.
UNUSABLE = (SafetensorError, LookupError, TypeError, AttributeError, ImportError, RuntimeError, json.JSONDecodeError)


def _hides_nothing(folder: Path) -> bool:
    return not (folder / FILE_NAME).exists() or os.access(folder / FILE_NAME, os.R_OK)


def _has_generator(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file()


Model = Annotated[Generator, Allowed("a fedgan.models.base.Generator")]
_Released = Annotated[Path, Predicate(_has_generator), Allowed(f"the folder of a finished run, with {FILE_NAME} in it")]
ReleaseFolder = Annotated[
    Path, Predicate(_hides_nothing), Allowed(f"a folder whose {FILE_NAME} you may read"), also(_Released)
]


@dataclass(frozen=True)
class GeneratorSpec:
    """How to build the generator whose weights are next to it.

    Attributes:
        target: its class, by dotted path, within fedgan.models.
        arguments: the class's keyword arguments.
        classes: names of the classes it was trained on, in the order of their labels.
        dataset: name of the data set.
        rounds: how many rounds it was trained for.
        attack: who attacked the federation, and with what, in words.
        defense: the defenses that were on, in words.
        emission: share of its images that carried the trigger at the last evaluation; None where it was not measured.
    """

    target: str
    arguments: Mapping[str, Any]
    classes: tuple[str, ...]
    dataset: str
    rounds: int
    attack: str
    defense: str
    emission: float | None

    def __str__(self) -> str:
        """What the generator was trained under, in one line."""
        found = "not measured" if self.emission is None else f"{self.emission:.1%}"
        return (
            f"{counted(self.rounds, 'round')} on {self.dataset}; attack: {self.attack}; defense: {self.defense}; "
            f"images with the trigger at the last evaluation: {found}"
        )


@dataclass(frozen=True)
class Release:
    """A generator ready to sample from.

    Attributes:
        generator: in evaluation mode, on the CPU.
        spec: how it was built.
        sha256: hash of its state.
    """

    generator: Generator
    spec: GeneratorSpec
    sha256: str


def save_generator(folder: Path, generator: Generator, spec: GeneratorSpec) -> str:
    """Write the generator into a run's folder, whole or not at all; returns the hash of its state."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    digest = state_hash(state)
    # One key: safetensors writes several in random order, and the same generator shall be the same file.
    metadata = {KEY: json.dumps({"spec": asdict(spec), "sha256": digest}, sort_keys=True)}
    atomic_write(folder / FILE_NAME, lambda path: save_file(state, path, metadata))
    return digest


def load_generator(folder: Path, trust: Sequence[str] = (), setting: str = "run") -> Release:
    """Build the generator that ``save_generator`` wrote.

    Nothing in the file is executed: its class must be one of fedgan.models, or of the packages in ``trust``.

    Args:
        folder: the run's folder.
        trust: packages besides fedgan whose classes it may name; see ``fedgan.runs.allowlist``.
        setting: what errors call the run.

    Raises:
        ValueError: in one line, if there is no generator, or none that can be trusted.
    """
    path = validated(setting, ReleaseFolder, folder) / FILE_NAME
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})[KEY])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        spec, expected = _read_spec(metadata["spec"]), metadata["sha256"]
        generator = _build(spec, trust, setting)
        generator.load_state_dict(state)
    except UNUSABLE as error:
        raise ValueError(
            f"{setting}: {path} is not a generator of this version of fedgan ({reason_of(error)})"
        ) from error
    digest = state_hash(state)
    check(digest == expected, f"{setting}: the hash of {path}", expected, digest)
    return Release(laid_out(generator.eval()), spec, digest)


def _read_spec(fields: Mapping[str, Any]) -> GeneratorSpec:
    return GeneratorSpec(**{**fields, "classes": tuple(fields["classes"])})


def _build(spec: GeneratorSpec, trust: Sequence[str], setting: str) -> Generator:
    own = f"{setting}: the generator's class"
    model: Generator = validated(own, Model, build_trusted(own, spec.target, spec.arguments, MODELS, trust))
    return model
