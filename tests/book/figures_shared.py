"""What the tests of figures share."""

import io
from itertools import combinations
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from helpers.book import figures
from helpers.networks import RECIPES
from helpers.networks.models import build
from helpers.verdicts import t_interval
from helpers.verdicts.claims import Rule

pytestmark = pytest.mark.usefixtures("styled")


@pytest.fixture
def ax():
    return figures.panels(1)[1][0, 0]


def drawn(figure):
    """The figure as the page gets it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def by_seed(**columns):
    """Three seeds at each of two depths."""
    return pd.DataFrame({"depth": [0.0] * 3 + [1.0] * 3} | columns)


# Several lines, names, pictures and matrices


BOTH = pd.concat([by_seed(y=[1, 2, 3, 4, 5, 6.5]).assign(net="a"), by_seed(y=[3, 2, 3, 1, 5, 2.0]).assign(net="b")])
