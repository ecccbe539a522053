"""The paper's tables and figures, made again: a folder for what each published and claims, one command for all."""

from pathlib import Path

PAPER = Path(__file__).parent
NAMES = tuple(sorted(file.parent.name for file in PAPER.glob("*/claims.yaml")))
