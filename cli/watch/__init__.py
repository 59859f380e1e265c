"""Collects and renders the state that `sluice watch` shows."""
