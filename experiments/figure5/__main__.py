"""Figure 5: images of the defended generators, ISIC.

python -m experiments.figure5 scale=paper isic=PATH
"""

from experiments.reproduction.command import command_of

main = command_of("figure5")

if __name__ == "__main__":
    main()
