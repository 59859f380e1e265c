"""The rehearsal: the README's commands, by the CDK CLI, against the local AWS, with the settings of each page."""
