"""What people look at, as Python; rendered as Grafana's JSON and drawn as preview pictures.

>>> from monitoring.dashboards.render import write_dashboards
"""
