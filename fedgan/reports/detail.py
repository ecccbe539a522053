"""Tables about one run: who was flagged, what defenses and attacks did, what went wrong, how long it took."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fedgan.reports.blocks import Note, Table
from fedgan.reports.glossary import entry, leading, reference
from fedgan.reports.run import Run
from fedgan.reports.table import results
from fedgan.reports.words import facts_of

FIXED = {"round", "client", "malicious", "flagged", "flag_count", "weight", "poisoned_images", "num_examples"}
MOST_CLIENTS = 40  # rows of a table of clients
MOST_EVENTS = 60

_PLACES = "_(?:row|column|top|bottom|left|right)$"  # how measures end that say where in a map


def has(run: Run, name: str) -> bool:
    """Whether the run has such a table, with a row in it."""
    return (run.folder / f"{name}.csv").is_file() and not getattr(run, name).empty


def losses(run: Run) -> list[str]:
    """The columns of clients.csv that clients report, with a number in them: losses."""
    table = run.clients
    numbers = [name for name in table.columns if name not in FIXED and pd.api.types.is_numeric_dtype(table[name])]
    return [name for name in numbers if table[name].notna().any()]


def flags(run: Run) -> bool:
    """Whether a defense of the run flags clients: only then are there rates."""
    return has(run, "rounds") and bool(run.rounds["false_positive_rate"].notna().any())


def detection(run: Run, name: str) -> Table:
    """One row per client: in how many rounds it took part and was flagged, and its weight.

    Malicious clients come first, then those that were flagged most often.
    """
    groups = run.clients.groupby("client")
    table = pd.DataFrame(
        {
            "malicious": groups["malicious"].max(),
            "rounds": groups["round"].count(),
            "rounds flagged": groups["flagged"].sum(),
            "mean weight": groups["weight"].mean(),
            "last weight": groups["weight"].last(),
            "poisoned images": groups["poisoned_images"].max(),
            "images": groups["num_examples"].last(),
        }
    ).reset_index()
    table = table.sort_values(["malicious", "rounds flagged", "client"], ascending=[False, False, True])
    table = table.head(MOST_CLIENTS).reset_index(drop=True)
    table["malicious"] = table["malicious"].map({0: "", 1: "malicious"})
    more = f" The first {MOST_CLIENTS} of {len(groups)}." if len(groups) > MOST_CLIENTS else ""
    caption = "Who was flagged: one row per client, malicious clients first."
    marked = [i for i, each in enumerate(table["malicious"]) if each]
    return Table(f"detection_{name}", f"{caption}{more}", table, marked=marked)


def rates(runs: Mapping[str, Run]) -> Table | None:
    """How well each run's defenses flagged, over all rounds; None if no run has one that flags."""
    rows = [_rates(name, run) for name, run in runs.items() if flags(run)]
    caption = "Flags over all rounds. The rates are means over the rounds in which there was somebody to flag."
    return Table("flags", caption, pd.DataFrame(rows)) if rows else None


def _rates(name: str, run: Run) -> dict[str, Any]:
    flagged = run.clients[run.clients["flagged"] == 1]
    right = flagged[flagged["malicious"] == 1]
    return {
        "run": name,
        "true positive rate": run.rounds["true_positive_rate"].mean(),
        "false positive rate": run.rounds["false_positive_rate"].mean(),
        "flags": len(flagged),
        "flags of malicious clients": len(right),
        "first round with such a flag": None if right.empty else int(right["round"].min()),
    }


def receipts(run: Run, name: str) -> Table:
    """What each defense and attack on updates did, by measure, over the rounds and, where it is so, over clients.

    Of several clients in a round there is no last value; and places in images have no mean, so they are left out.
    """
    table = run.receipts.assign(value=pd.to_numeric(run.receipts["value"], errors="coerce"))
    table = table[~table["measure"].str.contains(_PLACES)]
    groups = table.groupby(["component", "measure"], sort=False)
    spread = pd.DataFrame(
        {
            "rounds": groups["round"].nunique(),
            "mean": groups["value"].mean(),
            "least": groups["value"].min(),
            "most": groups["value"].max(),
            "last": groups["value"].last().where(groups["client"].nunique() < 2),
        }
    ).reset_index()
    caption = "What defenses and attacks on updates did, over the rounds and their clients (receipts.csv)."
    return Table(f"receipts_{name}", caption, spread)


def acted(run: Run) -> Note | None:
    """In how many rounds each defense acted; None where there is none that says so."""
    counts: Mapping[str, int] = run.summary.get("rounds_acted") or {}
    of = run.summary.get("rounds")
    parts = [f"{name} acted in {count} of {of} rounds" for name, count in counts.items()]
    return Note(f"{'; '.join(parts)}.") if parts else None


def by_class(run: Run, name: str) -> Table | None:
    """Each metric's mean and its value for every class, with what stands next to it; None without a metric."""
    metrics, facts = results(run), facts_of(run)
    classes = list(dict.fromkeys(key.partition("/")[2] for key in metrics if "/" in key))
    control = run.rescored.get("control_metrics") or {}
    scored = [each for each in leading(metrics) if any(f"{each}/{part}" in metrics for part in classes)]
    rows = [_by_class(each, metrics, classes, facts, control) for each in scored]
    caption = "Each metric by class, and what has to be read next to it."
    return Table(f"metrics_{name}", caption, pd.DataFrame(rows)) if rows else None


def _by_class(
    metric: str,
    metrics: Mapping[str, float],
    classes: Sequence[str],
    facts: Mapping[str, object],
    control: Mapping[str, float],
) -> dict[str, Any]:
    about, beside = entry(metric), reference(metric, facts)
    row: dict[str, Any] = {"metric": f"{metric} {about.arrow}".strip(), "mean": metrics[metric]}
    row |= {each: metrics.get(f"{metric}/{each}") for each in classes}
    row |= {"control": control[metric]} if metric in control else {}
    return row | {"next to it": beside, "which is": about.of if beside is not None else ""}


def facts_table(run: Run, name: str) -> Table | None:
    """All facts of a run's metrics; None without any."""
    facts = facts_of(run)
    frame = pd.DataFrame({"fact": list(facts), "value": pd.Series(list(facts.values()), dtype=object)})
    return Table(f"facts_{name}", "All facts recorded with the metrics.", frame) if facts else None


def events(runs: Mapping[str, Run]) -> Table | None:
    """The faults of all runs, the first of each; None if nothing went wrong."""
    parts = [run.events.assign(run=name) for name, run in runs.items() if has(run, "events")]
    if not parts:
        return None
    table = pd.concat(parts, ignore_index=True)
    first = table.groupby(["run", "kind"], sort=False).head(max(1, MOST_EVENTS // table["run"].nunique()))
    first = first.head(MOST_EVENTS).reset_index(drop=True)
    first = first[["run", *(column for column in first.columns if column != "run")]]
    more = f" {len(first)} of {len(table)}; all are in the runs' events.csv." if len(first) < len(table) else ""
    return Table("events", f"What went wrong, and what was done about it.{more}", first.astype({"client": "Int64"}))


def event_counts(runs: Mapping[str, Run]) -> Table | None:
    """How many faults of each kind each run has; None if nothing went wrong."""
    parts = [run.events.assign(run=name) for name, run in runs.items() if has(run, "events")]
    if not parts:
        return None
    counts = pd.concat(parts).groupby(["run", "kind"], sort=False).size().unstack(fill_value=0).reset_index()
    counts.columns.name = None
    return Table("event_counts", "Faults by kind.", counts)


def timing(runs: Mapping[str, Run]) -> Table:
    """One row per run: how long it took, on what."""
    return Table("timing", "Time and machine.", pd.DataFrame([_timing(name, run) for name, run in runs.items()]))


def _timing(name: str, run: Run) -> dict[str, Any]:
    record = run.record
    timed = run.timing if has(run, "timing") else pd.DataFrame({"seconds": [], "images_per_second": []})
    versions, git = record.get("versions") or {}, record.get("git") or {}
    commit = str(git.get("commit") or "")[:10] + (" + changes" if git.get("dirty") else "")
    memory: Mapping[str, int] = record.get("peak_memory_bytes") or {}
    return {
        "run": name,
        "seconds": record.get("seconds", timed["seconds"].sum()),
        "rounds": len(timed),
        "seconds per round": timed["seconds"].mean(),
        "images per second": timed["images_per_second"].mean(),
        "peak memory": ", ".join(_memory(memory)),
        "device": record.get("device"),
        "threads": record.get("threads"),
        "fedgan": " ".join(part for part in (str(versions.get("fedgan", "")), commit) if part),
        "torch": versions.get("torch"),
    }


def _memory(peak: Mapping[str, int]) -> Iterator[str]:
    for place, size in peak.items():
        if size:
            yield f"{size / 2**30:.2f} GiB ({place})"
