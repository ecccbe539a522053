"""Table 3: LPIPS of the defended generators, ISIC.

python -m experiments.table3 scale=paper isic=PATH
"""

from experiments.reproduction.command import command_of

main = command_of("table3")

if __name__ == "__main__":
    main()
