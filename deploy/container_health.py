"""The health check of the container: exits with 0 if the server responds at /health/live."""

import os
import sys
import urllib.request

TIMEOUT_SECONDS = 4


def main() -> int:
    """Request /health/live from the server in this container; return the exit code."""
    port = int(os.environ.get("PORT", "8000"))
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/health/live", timeout=TIMEOUT_SECONDS
        ):
            return 0
    except OSError:
        # Another status than 200 is one too.
        return 1


if __name__ == "__main__":
    sys.exit(main())
