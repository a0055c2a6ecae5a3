"""Run the evaluate stage."""

from stages.command import main

if __name__ == "__main__":
    main("evaluate")
