"""`python -m mono_depth_ros.bench`."""

import sys

from mono_depth_ros.bench.main import main

if __name__ == "__main__":
    sys.exit(main())
