"""Table 4: LPIPS of the defended generators, ChestX.

python -m experiments.table4 scale=small chestx=PATH
"""

from experiments.reproduction.command import command_of

main = command_of("table4")

if __name__ == "__main__":
    main()
