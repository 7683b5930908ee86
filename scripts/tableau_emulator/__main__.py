"""`python -m tableau_emulator`: the same as the command `tableau-emulator`."""

from tableau_emulator.cli import main

main()
