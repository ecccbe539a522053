"""Table 1: LPIPS of the attacked generators, ISIC.

python -m experiments.table1 scale=paper isic=PATH
"""

from experiments.reproduction.command import command_of

main = command_of("table1")

if __name__ == "__main__":
    main()
