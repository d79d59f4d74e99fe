"""The engine's AWS resources, and the commands that deploy them here or in an account."""

import os

from infra.cli.node import NODE

# jsii starts Node when aws_cdk is first imported; this package is imported before it.
os.environ.setdefault("JSII_NODE", str(NODE))
