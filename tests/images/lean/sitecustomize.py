"""Makes an installation lean: the modules listed in the file EVERLOOP_TEST_LACKS cannot be imported.

Python imports a module of this name as it starts, so with this folder in PYTHONPATH it holds for child processes too.
"""

import os
import sys
from pathlib import Path

LACKS = frozenset(Path(os.environ["EVERLOOP_TEST_LACKS"]).read_text().split())


class Lacking:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in LACKS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Lacking)
