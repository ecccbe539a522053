"""A run in plain words: what was asked, what was found, how to repeat it."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from fedgan.core.words import counted, reason_of
from fedgan.reports.blocks import Card, shown
from fedgan.reports.glossary import entry, reference
from fedgan.reports.run import Run
from fedgan.reports.table import results, setting
from fedgan.runs.closing import found, is_discarded

COMMAND = "python -m fedgan.train"
ELSEWHERE = ("resume=", "root=")  # overrides that say where a run is resumed, and not what it is
ALWAYS = (("start", 0), ("every", 1))  # of an attack: in every round; not worth a word
SHARES = {
    "emission": "carry the trigger",
    "pattern_emission": "show the trigger's pattern, however faint",
    "template_emission": "show what the trigger adds, however faint",
    "spectrum_emission": "have more of the trigger's wave than clean ones",
    "anywhere_emission": "show the trigger's pattern at some place",
    "amplitude_emission": "have amplitudes like images with the trigger",
    "learned_emission": "look like images with the trigger to a small network",
    "latent_emission": "show the target when drawn with the attacker's pattern in their latents",
}
DISTANCES = {"frechet_classifier": "Frechet distance", "fid": "Frechet Inception distance"}


def card(run: Run, title: str) -> Card:
    """The run in words."""
    return Card(title, run.status, asked(run), verdict(run), notes(run), command(run))


def asked(run: Run) -> list[tuple[str, str]]:
    """What the run was asked to do, as pairs of a word and what there is to say."""
    return [
        ("Data", data_set(run)),
        ("Clients", clients(run)),
        ("Malicious", malicious(run)),
        ("Defense", str(setting(run, "defense"))),
    ]


def data_set(run: Run) -> str:
    """Such as ``chestx, 64 x 64, gray: NORMAL 512 + 128, PNEUMONIA 512 + 128 (training + test images)``."""
    data: Mapping[str, Any] = run.record.get("dataset") or {}
    if not data:
        return f"{setting(run, 'dataset')} (nothing was read before the run ended)"
    size, color = data.get("image_size"), {1: "gray", 3: "RGB"}.get(data.get("channels", 0), "")
    train, test = (data.get(part, {}).get("counts", {}) for part in ("train", "test"))
    counts = ", ".join(f"{name} {train[name]:,} + {test.get(name, 0):,}" for name in train)
    return f"{data.get('name')}, {size} x {size}, {color}: {counts} (training + test images)"


def clients(run: Run) -> str:
    """How many clients there are, and how many take part in a round."""
    federation: Mapping[str, Any] = run.settings.get("fl") or {}
    every, part = federation.get("num_clients", 0), federation.get("clients_per_round")
    some = "" if part is None or part == every else f", {part:,} of them in each round"
    return f"{counted(every, 'client')}{some}; {counted(federation.get('rounds', 0), 'round')} planned"


def malicious(run: Run) -> str:
    """Who is malicious, and with what."""
    means = [attack_in_words(run, group) for group in ("attack", "update_attack")]
    who: Sequence[int] = run.record.get("malicious") or ()
    used = " and ".join(each for each in means if each) or ("an attack that the site sets" if who else "no attack")
    if not who:
        planned = "nobody" if "malicious" in run.record else "not recorded"
        return planned if used == "no attack" else f"{planned} (the trigger that is looked for: {used})"
    poisoned = {each["client"]: each for each in run.record.get("poison_reports") or ()}
    parts = [f"{each['images_changed']:,} of {each['num_examples']:,}" for each in list(poisoned.values())[:3]]
    changed = f"; images changed: {', '.join(parts)}{', ...' if len(poisoned) > 3 else ''}" if parts else ""
    names = ", ".join(map(str, who[:10])) + (", ..." if len(who) > 10 else "")
    return f"client{'s' if len(who) > 1 else ''} {names}: {used}{changed}"


def attack_in_words(run: Run, group: str) -> str:
    """The attack and those of its settings that say what it does; empty for none."""
    chosen = setting(run, group)
    if chosen in (None, "none"):
        return ""
    own = {name: value for name, value in run.settings[group].items() if (name, value) not in ALWAYS}
    own = {name: value for name, value in own.items() if name[0] != "_" and value is not None}
    return f"{chosen} ({', '.join(f'{name} {value}' for name, value in own.items())})"


def verdict(run: Run) -> str:
    """How the run ended and what came of it, each number next to what it has to be compared with."""
    metrics, where = values(run)
    parts = [ending(run) + where]
    facts = facts_of(run)
    parts += [share(name, metrics, facts) for name in SHARES if name in metrics]
    parts += [distance(name, metrics, facts) for name in DISTANCES if name in metrics]
    if run.status == "finished":
        parts.append(weights(run))
        parts += [f"{line}." for line in found(run.summary)]
    return " ".join(parts)


def ending(run: Run) -> str:
    """Such as ``Finished after 18 rounds.`` or ``Failed after 3 rounds: ValueError: ...``"""
    done = counted(run.summary.get("rounds", rounds_recorded(run)), "round")
    tuned = run.summary.get("fine_tuning_rounds") or 0
    more = f" and {counted(tuned, 'epoch')} of fine-tuning at the server" if tuned else ""
    if run.status == "running":
        return f"Not finished (still running, or killed): {done} recorded."
    reason = run.record.get("reason")
    return f"{run.status.capitalize()} after {done}{more}{f': {reason}' if reason else ''}."


def rounds_recorded(run: Run) -> int:
    """How many rounds rounds.csv has; 0 without that file."""
    return len(run.rounds) if (run.folder / "rounds.csv").is_file() else 0


def values(run: Run) -> tuple[dict[str, float], str]:
    """The run's metrics; of one that is not finished those of its last evaluation, and a sentence that says so."""
    if run.summary or not rounds_recorded(run):
        return results(run), ""
    scored = evaluated(run)
    if scored.empty:
        return {}, " It was not evaluated before."
    last = {str(name): float(value) for name, value in scored.iloc[-1].dropna().items()}
    return last, f" At its last evaluation, in round {int(last.pop('round'))}:"


def evaluated(run: Run) -> pd.DataFrame:
    """The rows of rounds.csv with metrics: the round, and the metrics."""
    table = run.rounds
    first = table.columns.get_loc("false_positive_rate") if "false_positive_rate" in table else len(table.columns) - 1
    metrics = list(table.columns[first + 1 :])  # type: ignore[operator]
    return table[["round", *metrics]].dropna(subset=metrics, how="all") if metrics else table.iloc[:0][["round"]]


def share(name: str, found: Mapping[str, float], facts: Mapping[str, object]) -> str:
    """The share of synthetic images with the trigger, its interval, and the detector's false alarms."""
    about, rate = entry(name), reference(name, facts)
    low, high = (found.get(str(end)) for end in (about.low, about.high))
    said = f"{percent(found[name])} of the synthetic images {SHARES[name]}"
    within = f"95 % interval {percent(low)} to {percent(high)}" if low is not None and high is not None else ""
    alarms = f"the detector's false alarm rate on real test images is {percent(rate)}" if rate is not None else ""
    aside = "; ".join(part for part in (within, alarms) if part)
    most = facts.get(f"{about.reference}_high")
    compared = ""
    if low is not None and isinstance(most, int | float):
        compared = ", more than false alarms explain" if low > most else ", no more than false alarms may explain"
    return f"{said}{f' ({aside})' if aside else ''}{compared}."


def distance(name: str, found: Mapping[str, float], facts: Mapping[str, object]) -> str:
    """A distance to the real images, and its floor."""
    floor = reference(name, facts)
    least = "" if floor is None else f" (its floor, what as many real training images score, is {shown(floor)})"
    return f"{DISTANCES[name]} to real test images: {shown(found[name])}{least}."


def weights(run: Run) -> str:
    """What the malicious clients weigh in the last aggregate, and by how many clients it is carried."""
    effective, weight = run.summary.get("effective_clients"), run.summary.get("weight_of_malicious")
    discarded = " This was in the last round, whose aggregate was discarded." if is_discarded(run.summary) else ""
    if effective is None:
        return "The aggregate has no weights."
    total = (run.settings.get("fl") or {}).get("num_clients")
    carried = f"Effective clients: {effective:.2f} of {total}.{discarded}"
    if weight is not None:
        many = len(run.summary.get("malicious") or ()) > 1
        who = "The malicious clients have" if many else "The malicious client has"
        return f"{who} {percent(weight)} of the weight. {carried}"
    took_part = "No malicious client took part in the last round. " if run.record.get("malicious") else ""
    return f"{took_part}{carried}"


def percent(value: float | None) -> str:
    """A share, in percent.

    Example:
        >>> percent(0.98412), percent(0.0), percent(0.0004)
        ('98.4 %', '0 %', '0.04 %')
    """
    if value is None:
        return "–"
    return f"{100 * value:.3g} %" if abs(value) < 0.9995 else f"{100 * value:.4g} %"


def facts_of(run: Run) -> dict[str, object]:
    """What has to be read next to the metrics, by name; a later evaluation's facts go with its metrics."""
    found: dict[str, object] = {}
    for source in (run.summary, run.rescored):
        for part in (source.get("facts") or {}).values():
            found |= part
    return found


def absent(run: Run) -> dict[str, str]:
    """By metric, why it has no value; what a later evaluation has computed is not absent."""
    again = run.rescored.get("settings") or {}
    before = {name: why for name, why in (run.summary.get("absent") or {}).items() if name not in again}
    return before | dict(run.rescored.get("absent") or {})


def notes(run: Run) -> list[str]:
    """What a reader should know before trusting the numbers."""
    said = [str(note) for note in (run.record.get("dataset") or {}).get("notes") or ()]
    if run.evaluation and run.summary:
        if run.rescored:
            count = run.rescored.get("samples_per_class")
            said.append(f"The metrics are those of evaluation.json, with {count} synthetic images of each class.")
        else:
            other = "evaluation.json is about another generator than the run's present one and is left out"
            said.append(f"{other}: evaluate it again.")
    return said


def command(run: Run) -> str | None:
    """What to type to repeat the run, ready for a shell; None if the folder does not say what was typed.

    A run that was resumed may have been extended then: its rounds are those that it has now.
    """
    try:
        typed = yaml.safe_load((run.folder / ".hydra/overrides.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    if not isinstance(typed, list):
        return None
    kept = [str(each) for each in typed if not str(each).startswith(ELSEWHERE)]
    if run.record.get("resumed"):
        rounds = f"fl.rounds={run.settings['fl']['rounds']}"
        kept = [*(each for each in kept if each.partition("=")[0].lstrip("+") != "fl.rounds"), rounds]
    return " ".join([COMMAND, *map(shlex.quote, kept)])


def why_not(error: BaseException) -> str:
    """An error's message as the end of a sentence."""
    return reason_of(error).removeprefix("run: ").removeprefix("run ")
