"""Tests of the synthesized stack; `infra` is imported first, to show jsii where Node is."""

import infra  # noqa: F401
