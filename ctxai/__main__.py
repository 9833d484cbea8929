"""`python -m ctxai` is `ctxai`."""

import sys

from ctxai.cli import main

sys.exit(main())
