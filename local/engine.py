"""The local run: a local AWS with the synthesized stack, and a SageMaker-compatible endpoint with real models."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import aws
from local.aws import Clients
from local.deploy import deploy, synthesize
from local.process import Child, free_port
from local.tls import Tls, create_tls

SAMPLE_MODELS = ("wine", "digits", "chat")


@dataclass(frozen=True, slots=True)
class Engine:
    """A local run: its URLs, the stack's outputs by name, clients, and its processes (`children`).

    `tls` has its certificates; None unless policies are enforced.
    """

    url: str
    sagemaker_runtime_url: str
    outputs: Mapping[str, str]
    clients: Clients
    children: Sequence[Child]
    tls: Tls | None = None

    @property
    def input_bucket(self) -> str:
        """Name of the input bucket."""
        return self.outputs["InputBucketName"]

    @property
    def results_bucket(self) -> str:
        """Name of the results bucket."""
        return self.outputs["ResultsBucketName"]

    @property
    def request_queue_url(self) -> str:
        """URL of the request queue."""
        return self.outputs["RequestQueueUrl"]

    @property
    def dead_letter_queue_url(self) -> str:
        """URL of the dead-letter queue."""
        return self.outputs["DeadLetterQueueUrl"]


@dataclass(frozen=True, slots=True)
class Servers:
    """The processes of a local run before anything is deployed, and the names of the endpoints."""

    url: str
    sagemaker_runtime_url: str
    endpoint_names: Sequence[str]
    children: Sequence[Child]

    def wait_ready(self) -> None:
        """Wait until all of them are ready. Raises `LocalRunError`."""
        for one in self.children:
            one.wait_ready()


@contextlib.contextmanager
def servers(
    directory: Path,
    containers: Mapping[str, str] | None = None,
    models: Sequence[str] = SAMPLE_MODELS,
    *,
    tls: Tls | None,
) -> Iterator[Servers]:
    """Start a local AWS with an empty account, and an endpoint for each container; stop them at the end.

    Without `containers`, the sample `models` are started. With `tls`, policies are enforced.
    """
    directory.mkdir(parents=True, exist_ok=True)
    environment = aws.environment()
    with contextlib.ExitStack() as stack:

        def child(module: str, *arguments: str, health: str, log: str) -> Child:
            started = Child(module, arguments, health=health, log=directory / log, environment=environment)
            stack.callback(started.stop)
            return started

        children = []
        urls = dict(containers or {})
        for model in () if containers else models:
            port = free_port()
            urls[model] = f"http://127.0.0.1:{port}"
            children.append(
                child(
                    "local.models", model, "--port", str(port), health=f"{urls[model]}/ping", log=f"model-{model}.log"
                )
            )
        port, aws_port = free_port(), free_port()
        endpoint_url, url = f"http://127.0.0.1:{port}", aws.url(aws_port, tls)
        mapping = [word for name, target in urls.items() for word in ("--endpoint", f"{name}={target}")]
        children.append(
            child(
                "local.endpoint",
                *("--port", str(port), "--account", aws.ACCOUNT, "--region", aws.REGION),
                *mapping,
                *(("--authorizer", url, "--authority", str(tls.authority)) if tls else ()),
                health=f"{endpoint_url}/_health",
                log="endpoint.log",
            )
        )
        local_aws = aws.start(aws_port, endpoint_url, directory, tls)
        stack.callback(local_aws.stop)
        children.append(local_aws)
        yield Servers(url, endpoint_url, tuple(urls), tuple(children))


@contextlib.contextmanager
def running(
    directory: Path,
    settings: Mapping[str, Any] | None = None,
    containers: Mapping[str, str] | None = None,
    *,
    enforce: bool = False,
) -> Iterator[Engine]:
    """Start a local run, and stop it at the end. Logs, cloud assembly and temporary files go into `directory`.

    `settings` override those of cdk.json. `containers` maps endpoint names to the URLs of running containers; without
    it, the sample models are started. With `enforce`, the policies of IAM, buckets and queues, including TLS, are
    enforced as in AWS. Raises `LocalRunError`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tls = create_tls(directory) if enforce else None
    with servers(directory, containers, tls=tls) as started:
        clients = Clients(started.url, started.sagemaker_runtime_url, tls=tls)
        with ThreadPoolExecutor(1) as executor:
            assembly = executor.submit(
                synthesize,
                {"endpoint_names": list(started.endpoint_names), "default_endpoint_name": None, **(settings or {})},
                directory / "cdk.out",
            )
            started.wait_ready()
            outputs = deploy(clients, assembly.result())
        yield Engine(started.url, started.sagemaker_runtime_url, outputs, clients, started.children, tls)
