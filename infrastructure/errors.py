"""What synth refuses, in one line."""


class SettingsError(Exception):
    """A setting or a resource given is wrong; the text is one line that names it and says what to do."""
