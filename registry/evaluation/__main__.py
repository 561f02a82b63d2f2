"""``accelerate launch ... -m registry.evaluation ...``: one process of an evaluation."""

import sys

from registry.evaluation.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
