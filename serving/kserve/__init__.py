"""Releases on KServe: an InferenceService each, seen and moved through Kubernetes' API."""
