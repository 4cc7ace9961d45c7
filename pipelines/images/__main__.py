"""`python -m pipelines.images`: write images.txt."""

from pipelines.images.listing import write_images
from pipelines.images.rendering import ROOT

print(write_images(ROOT).relative_to(ROOT))
