"""Everything that talks to AWS. The packages that are not here, and `bootstrap`, use it through `ports`."""
