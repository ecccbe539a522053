"""The report's sections, out of runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from fedgan.core.words import counted
from fedgan.reports import arms, client_scores, detail, figures, pictures
from fedgan.reports.blocks import Block, Card, Chart, Fold, Galleries, Gallery, Note, Picture, Section, Table, flat
from fedgan.reports.glossary import leading
from fedgan.reports.run import Run
from fedgan.reports.table import runs_table, varying
from fedgan.reports.words import card, evaluated, why_not

PICTURES = 4_500_000  # characters that all sample grids may take
LEFT_PICTURES = 900_000  # characters that what defenses have left may take
MOST_CARDS = 300
FEW_CARDS = 3  # of more runs only the verdicts are unfolded
MOST_CURVES = 6  # settings that metrics are drawn against
PANELS = 6  # metrics in one chart
DEFENSE_FIRST = "defense"


def readable(runs: Sequence[Run]) -> tuple[list[Run], list[Note]]:
    """The runs whose records can be read, and a line on each of the others.

    Raises:
        ValueError: in one line, if none can be read.
    """
    whole, notes = [], []
    for run in runs:
        try:
            _ = run.settings, run.record, run.summary, run.evaluation
            for name in ("rounds", "clients", "receipts", "events", "timing"):
                if (run.folder / f"{name}.csv").is_file():
                    getattr(run, name)
        except ValueError as error:
            if len(runs) == 1:
                raise
            notes.append(Note(f"Left out: {why_not(error)}."))
        else:
            whole.append(run)
    if not whole:
        raise ValueError(f"paths must be folders of runs that can be read; {notes[0].text.removeprefix('Left out: ')}")
    return whole, notes


def sections(runs: Sequence[Run], *, details: int, root: str | None = None) -> list[Section]:
    """All sections of a report, in order; those that have nothing to say are left out.

    Args:
        runs: at least one.
        details: how many runs are shown one by one; of more, the first.
        root: where the runs' data set is now; None: where they found it.
    """
    whole, left_out = readable(runs)
    named = arms.named(whole)
    first = dict(list(named.items())[:details])
    found = [
        Section("asked", "What was asked and what was found", [*left_out, *asked(named, details)]),
        Section("settings", "Runs and settings", settings(named)),
        Section("images", "Images", images(first, named, root)),
        Section("clients", "Clients over the rounds", clients(first, named)),
        Section("detection", "Detection, attacks and defenses", detections(first)),
        Section("metrics", "Metrics", metrics(first, named)),
        Section("curves", "Metrics against settings", curves(named)),
        Section("events", "Events and time", events(named)),
    ]
    return [section for section in found if section.blocks]


def asked(named: Mapping[str, Run], details: int) -> list[Block]:
    """A card for every run; lines that all runs share are said once. Many runs are folded."""
    cards = [card(run, name) for name, run in list(named.items())[:MOST_CARDS]]
    shared = [line for line in cards[0].lines if len(cards) > 1 and all(line in each.lines for each in cards)]
    brief = len(cards) > FEW_CARDS
    own = [replace(each, lines=[line for line in each.lines if line not in shared], folded=brief) for each in cards]
    said: list[Block] = [Card("All runs", "", shared, "", (), None)] if shared else []
    said += own[:details]
    if len(own) > details:
        said.append(Fold(counted(len(own) - details, "further run"), own[details:]))
    if len(named) > MOST_CARDS:
        said.append(Note(f"{len(named) - MOST_CARDS} more runs are in the table below."))
    return said


def settings(named: Mapping[str, Run]) -> list[Block]:
    """What differs first; all settings folded."""
    return [arms.overview(named), Fold("All settings", [arms.settings_table(named)])]


def images(first: Mapping[str, Run], named: Mapping[str, Run], root: str | None) -> list[Block]:
    """Sample grids next to real images."""
    real, notes = pictures.real_images(list(named.values()), root)
    budget = PICTURES // max(1, len(first))
    drawn = [pictures.samples(run, name, budget) for name, run in first.items()]
    galleries: list[Gallery] = [*real, *(each for each in drawn if each)]
    return [*_cut(first, named), *([Galleries(galleries)] if galleries else []), *notes]


def _cut(first: Mapping[str, Run], named: Mapping[str, Run]) -> list[Block]:
    """That some runs are not shown one by one."""
    more = len(first) < len(named)
    how = "details= sets how many, as far as the page's size allows"
    return [Note(f"The first {len(first)} of {len(named)} runs ({how}).")] if more else []


def clients(first: Mapping[str, Run], named: Mapping[str, Run]) -> list[Block]:
    """Losses and weights per client, effective clients, who has which images."""
    shown: list[Block] = list(_cut(first, named))
    shown += _each(
        first,
        lambda run: detail.has(run, "clients") and bool(detail.losses(run)),
        figures.client_lines,
        "clients",
        "{}: losses and weight of every client; malicious clients dashed, flags as crosses.",
    )
    recorded = {name: run for name, run in first.items() if detail.has(run, "rounds")}
    if any(run.rounds["effective_clients"].notna().any() for run in recorded.values()):
        figure = figures.over_rounds(recorded, _arms(recorded), ["effective_clients"])
        shown.append(Chart("effective_clients", f"Effective clients over the rounds{_lines(recorded)}.", figure))
    return shown + _partitions(first)


def _arms(runs: Mapping[str, Run]) -> dict[str, str]:
    """What each run's arm is called among these runs: by what differs between them, and nothing else."""
    own = list(runs.values())
    return dict(zip(runs, arms.arms_of(own, varying(own)), strict=True))


def _lines(runs: Mapping[str, Run]) -> str:
    return "; one line per run, one color per arm" if len(runs) > 1 else ""


def _each(
    runs: Mapping[str, Run], fits: Callable[[Run], bool], draw: Callable[[Run], Figure], name: str, caption: str
) -> list[Block]:
    """A chart for each of the runs that have what it takes."""
    chosen = {key: run for key, run in runs.items() if fits(run)}
    return [Chart(f"{name}_{key}", caption.format(key), draw(run)) for key, run in chosen.items()]


def _partitions(first: Mapping[str, Run]) -> list[Block]:
    """One picture for all runs whose clients have the same images."""
    found: dict[str, tuple[Run, list[str]]] = {}
    for name, run in first.items():
        if run.record.get("partition"):
            key = repr((run.record["partition"], run.record.get("malicious")))
            found.setdefault(key, (run, []))[1].append(name)
    caption = "Training images of each class and client; malicious clients in color ({})."
    return [
        Chart(f"partition_{names[0]}", caption.format(_listed(names)), figures.partition(run))
        for run, names in found.values()
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def detections(first: Mapping[str, Run]) -> list[Block]:
    """Run by run: who was flagged and how often rightly, what defenses and attacks did and left."""
    parts = {name: _detection(name, run) for name, run in first.items()}
    filled = {name: part for name, part in parts.items() if part}
    summary = _kept(detail.rates(first))
    if len(filled) == 1:
        return [*summary, *next(iter(filled.values()))]
    return [*summary, *(Fold(name, part) for name, part in filled.items())]


def _detection(name: str, run: Run) -> list[Block]:
    found: list[Block] = []
    if detail.has(run, "clients"):
        found.append(detail.detection(run, name))
    if detail.flags(run):
        caption = f"{name}: share of malicious (true) and of honest clients (false) that were flagged."
        found.append(Chart(f"rates_{name}", caption, figures.detection_rates(run)))
    for defense in client_scores.scoring(run):
        marks = "threshold dotted; a cross: flagged in that round, by whichever score"
        caption = f"{name}: {defense}'s scores of every client; {marks}."
        found.append(Chart(f"scores_{defense}_{name}", caption, client_scores.chart(run, defense)))
    if (acted := detail.acted(run)) is not None:
        found.append(acted)
    if detail.has(run, "receipts"):
        found.append(detail.receipts(run, name))
    return found + _affordable(pictures.left_by_defenses(run, name))


def _affordable(blocks: Sequence[Block]) -> list[Block]:
    """Without the pictures that are one too many for a page."""
    kept: list[Block] = []
    spent = 0
    for block in blocks:
        if isinstance(block, Picture):
            spent += len(block.frame.uri)
            if spent > LEFT_PICTURES:
                kept.append(Note(f"{block.title} is left out: it is too large for this page."))
                continue
        kept.append(block)
    return kept


def metrics(first: Mapping[str, Run], named: Mapping[str, Run]) -> list[Block]:
    """Metrics by arm, over the rounds, by class; what they mean; which are absent and why."""
    scores, reasons = arms.scores(named), arms.reasons(named)
    shown: list[Block] = []
    if scores is not None:
        shown += [scores, arms.explained(arms.scored(list(named.values())))]
    shown += _over_rounds(first)
    parts = {name: _kept(detail.by_class(run, name), detail.facts_table(run, name)) for name, run in first.items()}
    folded = [Fold(name, part) for name, part in parts.items() if part]
    shown += [Fold("By class, with all facts", folded)] if folded else []
    return shown + _kept(reasons)


def _kept(*blocks: Block | None) -> list[Block]:
    return [block for block in blocks if block is not None]


def _over_rounds(first: Mapping[str, Run]) -> list[Block]:
    recorded = {name: run for name, run in first.items() if detail.has(run, "rounds") and not evaluated(run).empty}
    names = leading({str(each) for run in recorded.values() for each in evaluated(run).columns} - {"round"})[:PANELS]
    if not names:
        return []
    figure = figures.over_rounds(recorded, _arms(recorded), names)
    caption = f"Metrics at the rounds in which the generator was evaluated{_lines(recorded)}."
    return [Chart("metrics_over_rounds", caption, figure)]


def curves(named: Mapping[str, Run]) -> list[Block]:
    """Each metric against every numeric setting that varies between runs with metrics, by defense."""
    runs = [run for run in named.values() if arms.scored([run])]
    if not runs:
        return []
    settings_ = varying(runs)
    table = runs_table(runs, settings_)
    scored = arms.scored(runs)[:PANELS]
    shown: list[Block] = []
    for key in figures.numeric(runs, settings_)[:MOST_CURVES]:
        others = sorted((each for each in settings_ if each != key), key=lambda each: each != DEFENSE_FIRST)
        lines, mixed = (others, "") if _fewer_than(table, others, 13) else _by_defense(others)
        caption = f"Metrics against {key}: mean over runs, bars of one standard deviation.{mixed}"
        shown.append(Chart(f"against_{key}", caption, figures.against(table, key, lines, scored)))
    return shown


def _fewer_than(table: pd.DataFrame, columns: Sequence[str], most: int) -> bool:
    return not columns or math.prod(table[each].nunique(dropna=False) for each in columns) < most


def _by_defense(others: Sequence[str]) -> tuple[list[str], str]:
    own = [each for each in others if each == DEFENSE_FIRST]
    return own, f" Runs that differ in {', '.join(each for each in others if each not in own)} are taken together."


def events(named: Mapping[str, Run]) -> list[Block]:
    """What went wrong, which metrics are absent, and how long everything took."""
    nothing = Note("No events: nothing was left out, and nothing diverged or collapsed.")
    counts, table = detail.event_counts(named), detail.events(named)
    many = counts is not None and len(counts.frame) > 1
    listed = [Fold("Events", [table])] if many and table is not None else _kept(table)
    return [*(_kept(counts) if many else []), *(listed or [nothing]), detail.timing(named)]


def exported(parts: Sequence[Section]) -> list[Table | Chart]:
    """All tables and charts of a report."""
    return [block for section in parts for block in flat(section.blocks) if isinstance(block, Table | Chart)]
