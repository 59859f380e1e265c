"""The AWS side of Sluice in CDK: one construct for each logical unit, composed by the stack."""
