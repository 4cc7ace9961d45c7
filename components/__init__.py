"""The steps of the lifecycle, one module each; their logic lives in `components.recsys`."""
