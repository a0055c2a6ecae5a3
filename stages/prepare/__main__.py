"""Run the prepare stage."""

from stages.command import main

if __name__ == "__main__":
    main("prepare")
