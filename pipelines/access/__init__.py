"""Who may do what: the rights that each part needs, as data, and what is generated from them.

>>> from pipelines.access.uses import paths_of
>>> paths_of("predictor", "read")
('releases/',)

`uses` is the table of the home's store, `needs` that of the cluster's API. Policies for clouds, the chart's Roles (by a test)
and `everloop doctor` follow from these two and from nowhere else.
"""
