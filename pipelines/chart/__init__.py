"""The Helm chart's values, described once: its values.yaml, its schema and its reference page are made from here.

>>> from pipelines.chart.writing import write_chart
>>> write_chart(Path("helm/everloop"))
[PosixPath('helm/everloop/values.yaml'), PosixPath('helm/everloop/values.schema.json'), ...]

The templates are written by hand; what they may be given is decided here.
"""
