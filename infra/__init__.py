"""The engine's AWS resources, and the commands that deploy and operate them."""

import os

from infra.cli.node import NODE

# jsii starts this Node at the first import of aws_cdk, which follows the import of this package.
os.environ.setdefault("JSII_NODE", str(NODE))
