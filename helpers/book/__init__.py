"""A chapter's run, as its notebook sees it: parameters, records, figures. What runs notebooks is elsewhere: `runner`."""

from helpers.book import figures, records
from helpers.book.run import Run, begin
