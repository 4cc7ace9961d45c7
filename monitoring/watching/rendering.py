"""Renders one Evidently report: the process behind `reports`.

>>> python -m monitoring.watching.rendering FOLDER      # reference.parquet and current.parquet in, report.html out

Evidently reads pandas and asks for it at import; both are imported here and nowhere else.
"""

import sys
import warnings
from pathlib import Path


def render(folder: Path) -> None:
    warnings.simplefilter("ignore")  # of the libraries it imports; an error still ends the process
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    reference, current = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "current"))
    columns = [name for name in reference.columns if name in current.columns]
    report = Report([DataDriftPreset()]).run(current[columns], reference[columns])
    report.save_html(str(folder / "report.html"))


if __name__ == "__main__":
    render(Path(sys.argv[1]))
