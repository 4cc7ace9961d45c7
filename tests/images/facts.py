"""What a container says about itself, printed as one JSON object. Sent into an image and run there: `python3 -c SCRIPT`."""

SCRIPT = """
import json, os, platform, subprocess
from importlib.metadata import distributions
from pathlib import Path

def told(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return {"code": done.returncode, "text": (done.stdout + done.stderr).strip()}

def writable(folder):
    try:
        (Path(folder) / "trial").write_text("x")
    except OSError:
        return False
    (Path(folder) / "trial").unlink()
    return True

dpkg = told("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\\\\n")["text"].splitlines()
print(json.dumps({
    "uid": os.getuid(),
    "python": platform.python_version(),
    "writable": [folder for folder in ("/", "/opt/everloop", "/usr/local/bin", "/var", "/tmp") if writable(folder)],
    "everloop": told("everloop", "--version"),
    "help": told("everloop", "--help"),
    "pip": told("python3", "-m", "pip", "--version"),
    "install": told("/usr/bin/env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/", "python3", "-m", "pip",
                    "install", "--no-index", "six"),
    "packages": {each.metadata["Name"]: each.version for each in distributions()},
    "debian": dict(line.split()[1:] for line in dpkg if line.startswith("installed ")),
    "sbom": json.loads(Path("/opt/everloop/sbom.cdx.json").read_text()),
    "compiled": all(path.parent.joinpath("__pycache__", f"{path.stem}.cpython-311.pyc").exists()
                    for path in Path("/opt/everloop/lib").rglob("site-packages/serving/**/*.py")),
}))
"""
