"""What every test of the Python package shares: where the package is."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sdks" / "python"
sys.path.insert(0, str(PACKAGE / "src"))
