"""All files that are generated from code: `make compile` writes them, `make check` compares them with what is committed.

>>> python -m pipelines.generated --check
"""

import filecmp
import sys
import tempfile
from pathlib import Path

from monitoring.runbooks.index import write_index
from pipelines.access.page import write_page
from pipelines.access.samples import write_samples
from pipelines.chart.writing import write_chart
from pipelines.compile import compile_all
from pipelines.images.listing import write_images
from pipelines.reference import write_reference

ROOT = Path(__file__).parents[1]


def generate(root: Path) -> list[Path]:
    """Write every generated file under `root`; returns them."""
    return [
        *compile_all(root / "manifests" / "pipelines"),
        *write_chart(root / "helm" / "everloop"),
        *write_samples(root / "manifests" / "access"),
        write_page(root / "docs" / "reference"),
        *write_reference(root / "docs" / "reference"),
        write_index(root / "docs" / "loop"),
        write_images(root),
    ]


def main(check: bool) -> int:
    if not check:
        for path in generate(ROOT):
            print(path.relative_to(ROOT))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        stale = [
            path.relative_to(folder)
            for path in generate(Path(folder))
            if not (ROOT / path.relative_to(folder)).is_file()
            or not filecmp.cmp(path, ROOT / path.relative_to(folder), shallow=False)
        ]
    for path in stale:
        print(f"{path} is not what the code generates; run `make compile` and commit it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
