"""The local run: the synthesized template on a local AWS, with real models behind a SageMaker-compatible endpoint."""
