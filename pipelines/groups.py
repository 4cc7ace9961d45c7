"""Which group of packages a command lacks, where only some are installed: a server's image has none of the pipelines'.

>>> lacking(ModuleNotFoundError("No module named 'kfp'", name="kfp"))
"kfp is not installed here: pip install 'everloop[pipelines]', or use the image everloop/steps"
"""

import re
from importlib.metadata import requires

EXTRA = re.compile(r"^([\w.-]+).*extra == [\"'](\w+)[\"']")
IMAGES = {"pipelines": "everloop/steps", "monitoring": "everloop/monitoring"}


def lacking(error: ModuleNotFoundError) -> str:
    """What to do about it; '' when no group of ours brings that module, which then is a fault of ours."""
    module = (error.name or "").split(".")[0]
    for requirement in requires("everloop") or []:
        found = EXTRA.match(requirement)
        if found and found[1].replace("-", "_").lower() == module.lower():
            image = f", or use the image {IMAGES[found[2]]}" if found[2] in IMAGES else ""
            return f"{module} is not installed here: pip install 'everloop[{found[2]}]'{image}"
    return ""
