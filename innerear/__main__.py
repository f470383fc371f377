"""`python -m innerear` is the command line."""

from innerear.cli import main

main()
