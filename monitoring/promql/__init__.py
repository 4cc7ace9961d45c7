"""The part of PromQL that our rules use, for machines without Prometheus.

>>> from monitoring.promql.watch import Evaluator

Same rules, same answers: the tests put every alert's cases and random expressions to the real Prometheus and to this.
Where the two major versions differ (which samples lie on the edge of a range), it does as Prometheus 2.
"""
