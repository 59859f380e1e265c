"""`sluice openai-server`: OpenAI's Files and Batch API over a deployment."""

import ipaddress

import click

from cli.deployment import Deployment
from cli.errors import CliError, ExitCode
from cli.options import WholeNumber, deployment_options
from cli.output import Output


@click.command(
    "openai-server",
    short_help="Serve OpenAI's Files and Batch API over the deployment.",
    epilog="Exit code: 0 after Ctrl-C, 2 when an option is wrong, 1 when the port is in use.",
)
@deployment_options
@click.option(
    "--port",
    type=WholeNumber("a port, or 0 for any free one", min=0, max=65535),
    default=8090,
    show_default=True,
    help="Port to listen on.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--api-key",
    envvar="SLUICE_OPENAI_API_KEY",
    show_envvar=True,
    help="The API key that clients must send. By default any will do, which is allowed on this machine only.",
)
@click.option(
    "--endpoint-name",
    help="SageMaker endpoint of all batches.  [default: the one that the first request names as its model, if it is "
    "the deployment's, or else the default endpoint]",
)
def openai_server(
    deployment: Deployment,
    output: Output,
    *,
    port: int,
    host: str,
    api_key: str | None,
    endpoint_name: str | None,
) -> None:
    """Serve OpenAI's Files and Batch API, so that the openai clients run their batches over the deployment.

    It keeps no state of its own: files and batches are objects in the deployment's buckets. It acts with the AWS
    credentials of this shell. Ctrl-C ends it; batches go on.

    \b
    Examples:
      sluice openai-server
      sluice openai-server --port 9000 --endpoint-name chat
    """
    try:
        from cli.openai_api.server import listen, serve  # noqa: PLC0415 - only this command needs its dependencies
    except ImportError as error:
        raise CliError(
            f"{error.name} is not installed; install starlette, uvicorn and python-multipart: the extra "
            "`openai-server` of this package"
        ) from None
    if not api_key and not _is_loopback(host):
        raise CliError("--api-key: is required when --host is not an address of this machine alone", ExitCode.USAGE)
    names = deployment.settings_if_allowed
    if endpoint_name and names and endpoint_name not in names.endpoint_names:
        raise CliError(
            f"--endpoint-name: is not one of this deployment's: {', '.join(names.endpoint_names)}", ExitCode.USAGE
        )
    try:
        listening = listen(host, port)
    except OSError as error:
        raise CliError(f"--port: cannot listen on {host}, port {port}: {error.strerror}") from None
    with listening:
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{listening.getsockname()[1]}/v1"
        try:
            serve(
                deployment,
                listening,
                endpoint_name=endpoint_name,
                api_key=api_key,
                on_ready=lambda: (
                    output.document({"OPENAI_BASE_URL": url})
                    if output.as_json
                    else output.line(f"export OPENAI_BASE_URL={url}")
                ),
            )
        except KeyboardInterrupt:
            return


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
