"""Lists that people can read: titles, and the reason for each item.

>>> explain_list(release, ["242", "302"], k=5)["items"][0]["reason"]
'because of Kolya'
"""

from collections.abc import Sequence
from typing import Any

from components.recsys.frames import Histories
from components.recsys.ranking import rank
from components.recsys.release import Release


def explain_list(release: Release, history: Sequence[str], k: int) -> dict[str, Any]:
    """One list with titles and reasons for a history of ids."""
    model, titles = release.model, release.catalogue.titles()
    histories = Histories.of([history], model.items)
    known = set(model.items)
    ranked, scores = rank(model, histories, k)
    chosen = ranked[0][ranked[0] >= 0]
    because = model.explain(histories.indices, chosen)
    return {
        "unknown": [item for item in history if item not in known],
        "items": [
            {
                "item_id": str(model.items[index]),
                "title": titles[index],
                "score": float(score),
                "reason": f"because of {titles[histories.indices[source]]}" if source >= 0 else "popular now",
            }
            for index, score, source in zip(chosen, scores[0], because, strict=False)
        ],
    }
