"""The models by name. A new one is a file beside these, a line here, and a floor in the contract test."""

from components.recsys.models.base import Model
from components.recsys.models.content import Content
from components.recsys.models.ease import EASE
from components.recsys.models.hybrid import Hybrid
from components.recsys.models.ials import IALS
from components.recsys.models.item_knn import ItemKNN
from components.recsys.models.popularity import Popularity
from components.recsys.models.svd import SVD

MODELS: dict[str, type[Model]] = {
    model.name: model for model in (Popularity, ItemKNN, Content, EASE, IALS, SVD, Hybrid)
}
