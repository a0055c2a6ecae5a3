"""Run the render stage."""

from stages.command import main

if __name__ == "__main__":
    main("render")
