"""Pure statistics of pairs: intervals, exact tests, multiplicity, power. Nothing here knows arms or depths."""
