"""The checks of the data gate, and the summary of the data that the report shows."""
