"""``fedgan COMMAND ...``, the same as ``python -m fedgan.COMMAND ...``."""

import sys
from difflib import get_close_matches
from importlib import import_module

COMMANDS = {
    "train": "train a federated GAN, attacked and defended, and leave a run's folder",
    "evaluate": "score a finished run again, next to its control",
    "sample": "draw a labeled synthetic data set from a finished run",
    "utility": "train classifiers with synthetic images, and test them on real ones",
    "calibrate": "measure how far apart honest clients' losses are, for defense=feddetect_cusum",
    "compare": "put the runs of any sweep side by side, as a table and as curves",
    "report": "write one HTML page on a run, several, or a sweep",
}
USAGE = "usage: fedgan COMMAND [PATH ...] [SETTING=VALUE ...]"


def main() -> None:
    """Hand the other arguments to the command that is named first."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        print(USAGE, "", *(f"  {command:<10}{what}" for command, what in COMMANDS.items()), "", sep="\n")
        print("fedgan COMMAND --help lists a command's settings.")
        return
    if name == "--version":
        print(import_module("fedgan").__version__)
        return
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        sys.exit(f"error: {name} is not a command; fedgan has: {', '.join(COMMANDS)}{meant}")
    sys.argv[0:2] = [f"fedgan {name}"]
    import_module(f"fedgan.{name}").main()


if __name__ == "__main__":
    main()
