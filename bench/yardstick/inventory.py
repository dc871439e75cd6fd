"""pyinfra's view of the fleet: the file named by BENCH_FLEET lists hosts with their connection and desired state."""

import json
import os
from pathlib import Path

fleet = [(row["name"], row) for row in json.loads(Path(os.environ["BENCH_FLEET"]).read_text())]
