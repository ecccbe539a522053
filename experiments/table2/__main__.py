"""Table 2: LPIPS of the attacked generators, ChestX.

python -m experiments.table2 scale=small chestx=PATH
"""

from experiments.reproduction.command import command_of

main = command_of("table2")

if __name__ == "__main__":
    main()
