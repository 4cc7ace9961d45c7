"""Which images the objects of an installation name, for closed networks that hold copies of them."""
