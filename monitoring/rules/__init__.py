"""What Prometheus computes and when it calls somebody, as Python; rendered for a cluster, a laptop and a drill.

>>> from monitoring.rules.render import render_rules
"""
