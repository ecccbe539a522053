"""Figure 4: images of the attacked generators, ChestX.

python -m experiments.figure4 scale=small chestx=PATH
"""

from experiments.reproduction.command import command_of

main = command_of("figure4")

if __name__ == "__main__":
    main()
