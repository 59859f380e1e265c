"""The errors that synth reports in one line."""


class SettingsError(Exception):
    """A setting or a given resource is wrong. The text is one line that names it and says what to do."""


class SettingProblem(ValueError):
    """A validator's error about one setting: `key` is its name in the object that is validated, or empty for itself."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}" if key else problem)
        self.key = key
        self.problem = problem
