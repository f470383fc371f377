"""`python -m innerear` and the script `innerear` are the command line."""

import signal


def main() -> None:
    """Run the command line; Ctrl-C while it is imported ends the process without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from innerear.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
