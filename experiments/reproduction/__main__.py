"""Every table and figure of the paper.

python -m experiments.reproduction scale=small chestx=PATH
"""

from experiments.reproduction.command import NAMES, command_of

main = command_of(*NAMES)

if __name__ == "__main__":
    main()
