"""Rankings of an embedding's nearest neighbours, and the retrieval measures on them (`MEASURES.md`).

`placed` holds the exact distances, `search` finds who can be among the nearest, `ranks` says which of these have the
query's label, `measures` makes figures of that, `neighbours` and `votes` tell who the nearest are. All of it is exact
unless an approximate `index` proposes who can be; then `recall` says what it finds. What training needs to compare its
epochs is named here.
"""

from stages.ranking.measures import average_precisions, hits, means
from stages.ranking.ranks import leave_one_out

__all__ = ["average_precisions", "hits", "leave_one_out", "means"]
