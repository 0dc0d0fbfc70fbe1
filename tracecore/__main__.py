"""`python -m tracecore`: the CLI, where the script is not on the path."""

from tracecore.commands.shell import main

if __name__ == "__main__":
    main()
