"""The domain library: plain Python, no Kubeflow, no Kubernetes, no web framework."""
