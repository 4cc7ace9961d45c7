"""`python -m pipelines.chart`: write the chart's generated files, and say which."""

from pathlib import Path

from pipelines.chart.writing import write_chart

for path in write_chart(Path("helm/everloop")):
    print(path)
