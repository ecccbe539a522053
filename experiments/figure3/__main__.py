"""Figure 3: images of the attacked generators, ISIC.

python -m experiments.figure3 scale=paper isic=PATH
"""

from experiments.reproduction.command import command_of

main = command_of("figure3")

if __name__ == "__main__":
    main()
