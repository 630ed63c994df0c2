"""Claims and their rules, intervals, and what the rules say of them."""

from helpers.verdicts import claims
from helpers.verdicts.intervals import Interval, bootstrap_interval, over_seeds, spearman, t_interval
