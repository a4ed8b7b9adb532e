"""`python -m mono_depth_ros.bench`."""

import sys

from mono_depth.system.closed_pipe import quiet_where_closed
from mono_depth_ros.bench.main import main

if __name__ == "__main__":
    with quiet_where_closed():
        sys.exit(main())
