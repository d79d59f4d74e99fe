"""The infrastructure, synthesized; `infra` first, for it tells jsii where Node is."""

import infra  # noqa: F401
