"""Figure 6: images of the defended generators, ChestX.

python -m experiments.figure6 scale=small chestx=PATH
"""

from experiments.reproduction.command import command_of

main = command_of("figure6")

if __name__ == "__main__":
    main()
