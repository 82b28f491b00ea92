"""`python -m sortline`: the command, where its script is not on the PATH."""

from sortline.cli.main import main

if __name__ == "__main__":
    main()
