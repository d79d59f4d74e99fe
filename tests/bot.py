"""The bot of functions/README.md, as a program that a test can run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "functions" / "README.md"


def bot() -> str:
    """The program in functions/README.md."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return str(code)


def run_bot(url: str, key: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the bot without waiting for a price, and without a proxy: the server is local."""
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    environment |= {"OEE_URL": url, "OEE_API_KEY": key, "ABOVE": "0.5", **more}
    return subprocess.run(
        [sys.executable, "-c", bot()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
