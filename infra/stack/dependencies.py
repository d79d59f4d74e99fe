"""The Lambda layer: the functions' dependencies in the versions that uv.lock pins."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from tempfile import NamedTemporaryFile

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

ROOT = Path(__file__).parents[2]
PYTHON_VERSION = "3.13"
PLATFORM = "aarch64-manylinux2014"


def dependency_layer(scope: Construct, construct_id: str, *, uv: str) -> lambda_.LayerVersion:
    """Add the layer; its asset changes only with the platform, Python version or requirements.

    Raises:
        RuntimeError: uv failed.
    """
    requirements = pinned_requirements(uv)
    digest = hashlib.sha256(f"{PLATFORM} {PYTHON_VERSION}\n{requirements}".encode()).hexdigest()
    return lambda_.LayerVersion(
        scope,
        construct_id,
        description="The run-time dependencies pinned in uv.lock",
        compatible_architectures=[lambda_.Architecture.ARM_64],
        compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
        code=lambda_.Code.from_asset(
            str(ROOT / "infra"),
            asset_hash=digest,
            asset_hash_type=AssetHashType.CUSTOM,
            bundling=BundlingOptions(
                image=DockerImage.from_registry("none: bundled by uv"),
                local=_UvBundling(uv, requirements),
            ),
        ),
    )


def install(
    uv: str,
    requirements: str,
    target: Path,
    *,
    platform: str = PLATFORM,
    python_version: str = PYTHON_VERSION,
) -> None:
    """Install pinned requirements into a folder, without Docker and without the target's Python.

    Args:
        uv: the path of the uv command.
        requirements: text in pip's format, with versions and hashes.
        target: the folder.
        platform: uv's name of the target's platform.
        python_version: the target's Python version.

    Raises:
        RuntimeError: uv could not install them; the message contains uv's reason.
    """
    runtime = ["--python-platform", platform, "--python-version", python_version]
    exactly = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    with NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write(requirements)
        pinned.flush()
        command = [uv, "pip", "install", "--quiet", "--color", "never", "--target", str(target)]
        _run([*command, *runtime, *exactly, "--requirements", pinned.name])
    unused = [target / "bin", *target.rglob("__pycache__"), *target.rglob("tests")]
    for folder in unused:
        shutil.rmtree(folder, ignore_errors=True)


def pinned_requirements(uv: str) -> str:
    """The functions' dependencies that uv.lock pins, in pip's format with hashes.

    Raises:
        RuntimeError: uv failed; the message contains uv's reason.
    """
    # Under the CDK command line, uv would write colour codes between the requirements.
    layout = ["--quiet", "--color", "never", "--no-header", "--no-annotate"]
    content = ["--frozen", "--no-default-groups", "--no-emit-project", "--project", str(ROOT)]
    return _run([uv, "export", *layout, *content])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr.strip()}")
    return done.stdout


@jsii.implements(ILocalBundling)
class _UvBundling:
    def __init__(self, uv: str, requirements: str) -> None:
        self._uv = uv
        self._requirements = requirements

    def try_bundle(self, output_dir: str, *_options: object, **_more: object) -> bool:
        install(self._uv, self._requirements, Path(output_dir, "python"))
        return True
