"""``python -m msim_xds`` is the command ``msim-xds``."""

from msim_xds.cli.main import main

if __name__ == "__main__":
    main()
