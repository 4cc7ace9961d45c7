"""Recurring runs on Kubeflow, declared in a file in git and reconciled with what is there."""
