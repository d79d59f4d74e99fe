"""The Lambda functions, one module each, and the modules that they share.

The garbage collector is off while Lambda imports a function: nearly all objects that an import
creates are permanent, and the collector would scan them again and again. It is turned on by
`telemetry.with_telemetry`, which wraps every handler.
"""

import gc
import os

# Lambda names the handler in this variable: "functions.worker.handler".
if os.environ.get("_HANDLER", "").startswith(f"{__name__}."):
    gc.disable()
