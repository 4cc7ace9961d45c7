"""Who is told of an alert, as Python; rendered as Alertmanager's and Prometheus's configuration.

>>> from monitoring.alertmanager.config import alertmanager_config, prometheus_config
"""
