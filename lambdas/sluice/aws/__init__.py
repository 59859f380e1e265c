"""All code that calls AWS: the implementations of `ports`. Only `bootstrap` imports this package directly."""
