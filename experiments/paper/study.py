"""What is reported of the runs behind a table or figure: their metrics by arm, and what they were made with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from experiments.measures import CONTROL, OF_A_TRIGGER, before_fine_tuning, client_rows, metrics_of
from experiments.paper.claims import Values
from experiments.paper.plan import CENTRALIZED, NONE, PAPERS_DATA, TITLES, Arm, Plan


def gather(plan: Plan, arms: Sequence[Arm]) -> Values:
    """By the name of an arm, by metric, a value for each seed; all from finished runs."""
    return {str(arm): by_metric({seed: metrics_of(plan.folder(arm, seed)) for seed in plan.seeds}) for arm in arms}


def gather_before_fine_tuning(plan: Plan, arms: Sequence[Arm]) -> Values:
    """The controls that are within runs whose server fine-tunes: the generator as the federation left it."""
    found = {}
    for arm in arms:
        control = by_metric({seed: before_fine_tuning(plan.folder(arm, seed)) for seed in plan.seeds})
        if control:
            found[control_name(arm)] = control
    return found


def control_name(arm: Arm) -> str:
    """What an arm's control within its own runs is called."""
    return f"{arm}, before fine-tuning"


def by_metric(runs: Mapping[int, Mapping[str, float]]) -> dict[str, dict[int, float]]:
    """Metrics by seed, turned round: seeds by metric.

    Example:
        >>> by_metric({0: {"emission": 0.5}, 1: {"emission": 0.25, "lpips": 0.75}})
        {'emission': {0: 0.5, 1: 0.25}, 'lpips': {1: 0.75}}
    """
    names = dict.fromkeys(name for run in runs.values() for name in run)
    return {name: {seed: run[name] for seed, run in runs.items() if name in run} for name in names}


def classes_of(run: Path) -> list[str]:
    """The classes' names, in the order of their labels."""
    return list(_read(run)[0]["dataset"]["test"]["counts"])


def real_images(run: Path) -> dict[str, float]:
    """What real images score, by metric and class, and what the metrics' detectors and classifiers are worth."""
    facts: dict[str, dict[str, Any]] = json.loads((run / "summary.json").read_text())["facts"]
    flat = {name: value for part in facts.values() for name, value in part.items() if not isinstance(value, str)}
    renamed = {"frechet_classifier_floor": "frechet_classifier", "classifier_recall": "label_consistency"}
    found = {}
    for name, value in flat.items():
        kind, slash, of_class = name.partition("/")
        if kind.startswith(OF_A_TRIGGER):  # of one size of several
            continue
        found[f"{renamed.get(kind, kind.removesuffix('_real'))}{slash}{of_class}"] = float(value)
    return found


def provenance(plan: Plan, arms: Sequence[Arm]) -> str:
    """Data, image size, clients, rounds, seeds, commit: what a table cannot be read without."""
    sizes = sorted({arm.size for arm in arms if arm.size})
    triggers = ", ".join(f"{plan.sizes[size]} px ({size} at 256 x 256)" for size in sizes)
    parts = [
        _about(plan, data, [arm for arm in arms if arm.data == data]) for data in dict.fromkeys(a.data for a in arms)
    ]
    seeds = f"Triggers of {triggers}. Seeds {', '.join(map(str, plan.seeds))}: mean ± standard deviation."
    changes = f", with {', '.join(plan.changes)}" if plan.changes else ""
    return " ".join((f"Scale: {plan.scale}{changes}.", *parts, seeds, *_stand_ins(plan)))


def detectors(plan: Plan, arms: Sequence[Arm]) -> str:
    """What the trigger detector does on real test images, by the trigger's size, and which version of it."""
    sought = [(arm, seed) for arm in arms if arm.size for seed in plan.seeds]
    scored = {(arm, seed): json.loads((plan.folder(arm, seed) / CONTROL).read_text()) for arm, seed in sought}
    commits = ", ".join(dict.fromkeys(_commit(part["git"]) for part in scored.values() if "git" in part))
    stated = []
    for metric, share in (("emission", "emission"), ("pattern", "pattern_emission")):
        for (arm, seed), part in scored.items():
            facts = part["facts"].get(metric)
            if facts and arm.defense == NONE and seed == plan.seeds[0]:
                rate, power = facts[f"{share}_false_alarm"], facts[f"{share}_power"]
                found = f"{rate:.1%} false alarms, {power:.1%} of pasted triggers found"
                stated.append(f"{share.replace('_', ' ')}, {plan.sizes[arm.size]} px: {found}")
    by = f" Rates of attacked arms and of their controls: scored by commit {commits}." if commits else ""
    return f"The detectors, which look at the trigger's own place, on real test images: {'; '.join(stated)}.{by}"


def _about(plan: Plan, data: str, arms: Sequence[Arm]) -> str:
    """A data set and the runs on it."""
    federated = [arm for arm in arms if arm.defense != CENTRALIZED]
    each = [(arm, _facts(plan.folder(arm, seed))) for arm in arms for seed in plan.seeds]
    facts = {key: ", ".join(dict.fromkeys(str(part[key]) for _, part in each if part[key])) for key in each[0][1]}
    clients = ", ".join(dict.fromkeys(str(part["clients"]) for arm, part in each if arm in federated))
    title, papers = plan.data[data].title, PAPERS_DATA[data]
    defenses = f" {facts['defenses']}." if facts["defenses"] else ""
    alone = ", or one that has all images (centralized)" if len(federated) < len(arms) else ""
    return (
        f"{title if title == papers else f'{title} in place of {papers}'} ({facts['data']}), {facts['image']} pixels, "
        f"{facts['train']} training images ({_shares(plan, federated)}) and {facts['test']} test images; "
        f"{facts['model']}; {clients} clients{alone}, "
        f"{facts['rounds']} rounds of {facts['epochs']} local epoch(s), batch {facts['batch']}.{defenses} "
        f"Runs of commit {facts['commit']}, torch {facts['torch']}, {facts['device']}."
    )


def _shares(plan: Plan, arms: Sequence[Arm]) -> str:
    """How many images a client has: fewer where the server keeps some of them for itself."""
    by_count: dict[int, dict[str, None]] = {}
    for arm in arms:
        rows = client_rows(plan.folder(arm, plan.seeds[0]))
        count = round(mean(int(row["num_examples"]) for row in rows if row["round"] == "0"))
        by_count.setdefault(count, {})[TITLES[arm.defense]] = None
    (usual, _), *others = by_count.items()
    kept = [f"{count} with {', '.join(names)}, whose server keeps the others" for count, names in others]
    return "; ".join((f"{usual} a client", *kept))


def _stand_ins(plan: Plan) -> list[str]:
    return [
        f"{metric.upper()} itself is not computed at this scale; claims about it are judged by {other}, "
        "whose numbers cannot be compared with the published ones."
        for metric, other in plan.instead_of.items()
    ]


def _facts(run: Path) -> dict[str, Any]:
    """What a run's own files say about it."""
    record, settings = _read(run)
    data, fl = record["dataset"], settings["fl"]
    parts = [in_words(settings["model"][part]) for part in ("generator", "discriminator")]
    average = settings["model"]["ema"]
    return {
        "data": data["name"],
        "image": f"{data['image_size']} x {data['image_size']}",
        "train": " + ".join(f"{count:,}" for count in data["train"]["counts"].values()),
        "test": " + ".join(f"{count:,}" for count in data["test"]["counts"].values()),
        "model": "; ".join(parts) + (f"; average over rounds {average:g}" if average else ""),
        "clients": fl["num_clients"],
        "rounds": fl["rounds"],
        "epochs": fl["local_epochs"],
        "batch": fl["batch_size"],
        "defenses": _defense(settings["defense"]),
        "commit": ", ".join(commits_of(record)),
        "torch": record["versions"]["torch"],
        "device": record["device"],
    }


def _defense(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """A defense and its settings, of which the trigger's size is none."""
    return "; ".join(f"{name}: {', '.join(_settings(own))}" for name, own in settings.items() if _settings(own))


def in_words(component: Mapping[str, Any]) -> str:
    """A component and its settings; those that are left alone are left out.

    Example:
        >>> in_words({"_target_": "a.Recipe", "epochs": 20, "network": {"_target_": "a.Net", "_partial_": True}})
        'Recipe (epochs 20, network Net)'
    """
    name, settings = str(component["_target_"]).rpartition(".")[2], _settings(component)
    return f"{name} ({', '.join(settings)})" if settings else name


def _settings(component: Mapping[str, Any]) -> list[str]:
    own = {key: value for key, value in component.items() if not key.startswith("_") and value is not None}
    return [f"{key} {in_words(value) if isinstance(value, Mapping) else value}" for key, value in own.items()]


def commits_of(record: Mapping[str, Any]) -> list[str]:
    """The commits that made something, from its run.json or utility.json: each start's."""
    return list(dict.fromkeys(_commit(part["git"]) for part in (*record.get("resumed", ()), record)))


def _commit(git: Mapping[str, Any]) -> str:
    return f"{str(git['commit'])[:9]}{' (changed)' if git['dirty'] else ''}"


def _read(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """run.json and config.yaml."""
    return json.loads((run / "run.json").read_text()), yaml.safe_load((run / "config.yaml").read_text())
