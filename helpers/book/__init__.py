"""A chapter's run, as its notebook sees it: parameters, measurements, records, verdicts, figures.

What runs notebooks and builds the site is elsewhere: `runner`, `site`, `checks`.
"""

from helpers.book import figures, layered, records, scorecard
from helpers.book.judging import Judged, judge
from helpers.book.measuring import grid, measure
from helpers.book.origins import badge, downloads
from helpers.book.page import expect, glue, show, show_estimates, show_provenance, show_recorded, show_table
from helpers.book.records import save
from helpers.book.run import Run, begin
