"""Figure 7: accuracy of classifiers trained with synthetic images, by number of real ones.

python -m experiments.figure7 scale=small chestx=PATH
"""

from experiments.reproduction.command import command_of

main = command_of("figure7")

if __name__ == "__main__":
    main()
