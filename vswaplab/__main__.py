"""``python -m vswaplab``: the command line."""

import sys

from vswaplab.cli import main

__all__: list[str] = []

sys.exit(main())
