"""Tests of `infra`, which is imported first because it tells jsii where Node is."""

import infra  # noqa: F401
