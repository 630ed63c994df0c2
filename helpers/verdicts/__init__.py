"""Claims and their rules, the values behind them, intervals, and what the rules say of them."""

from helpers.verdicts import along_depth, claims, judging, statistics, tables
from helpers.verdicts.contrasts import Contrasts, each
from helpers.verdicts.intervals import Interval, bootstrap_interval, holm, partial_spearman, spearman, t_interval
from helpers.verdicts.picking import by_seed, decades, less, pick, star, tilt, trend
from helpers.verdicts.tables import spell
from helpers.verdicts.values import paired, tidy
