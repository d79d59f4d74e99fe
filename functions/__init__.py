"""The functions, one module each, and what they share.

While Lambda imports a function, the garbage collector is off: nearly all that is made then stays
for ever, and the collector would look through it again and again. `telemetry.observed`, which
every handler has, switches it on again.
"""

import gc
import os

# Lambda names the handler in this variable: "functions.worker.handler".
if os.environ.get("_HANDLER", "").startswith(f"{__name__}."):
    gc.disable()
