"""The engine's AWS resources, and the commands that deploy and operate them."""

import os

from infra.cli.node import NODE

# jsii starts this Node when aws_cdk is first imported, which is after this package.
os.environ.setdefault("JSII_NODE", str(NODE))
