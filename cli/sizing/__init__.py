"""Calculates settings and costs for a workload."""
