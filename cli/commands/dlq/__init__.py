"""`sluice dlq`: the commands for the dead-letter queue."""

import click

from cli.commands.dlq.ls import ls
from cli.commands.dlq.purge import purge
from cli.commands.dlq.redrive import redrive
from cli.commands.dlq.show import show


@click.group()
def dlq() -> None:
    """List, show, redrive and purge failed requests.

    SQS shows messages only by receiving them. They are made visible again when a command ends, also with Ctrl-C. If the
    command is killed, they become visible when the visibility timeout is over. At most 120,000 messages can be received
    at once.
    """


for _command in (ls, show, redrive, purge):
    dlq.add_command(_command)
