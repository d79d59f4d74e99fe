"""Tests of `infra`, which is imported first, to show jsii where Node is."""

import infra  # noqa: F401
