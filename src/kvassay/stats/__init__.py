"""Pure statistics: pairs, e-processes, clusters, the 2×2 by depth, multiplicity, power. Nothing here knows a run."""
