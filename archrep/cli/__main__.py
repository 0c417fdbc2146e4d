"""`python -m archrep.cli` is `archrep`."""

from archrep.cli.main import main

main()
