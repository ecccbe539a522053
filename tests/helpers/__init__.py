"""What several tests share: tests import from here and never from each other. Fixtures are in conftest.py."""

import pytest

pytest.register_assert_rewrite("tests.helpers.datasets", "tests.helpers.runs")
