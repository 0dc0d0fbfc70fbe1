"""`python -m tracecore`: run the CLI where its script is not on the path."""

from tracecore.commands.shell import main

if __name__ == "__main__":
    main()
