"""Collections: who was here, what belongs together, who knows whom.

Which one do I want?

| I want | take |
|---|---|
| to know whether something was seen before, exactly | `UniqueSet` |
| to find things by their tags, with and, or and not | `TagIndex` |
| who follows whom, whom two have in common, whom to suggest | `SocialGraph` |

For how many different things there were, nearly, `UniqueCounter` of the counters takes 12 kB for any number of them.
"""

from __future__ import annotations

from .social_graph import Neighbours, SocialGraph, Suggestion
from .tag_index import TagIndex
from .unique_set import UniqueSet

__all__ = ("Neighbours", "SocialGraph", "Suggestion", "TagIndex", "UniqueSet")
