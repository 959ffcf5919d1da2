"""`python -m bench` is `arraybench`."""

import sys

from bench.cli import main

sys.exit(main())
