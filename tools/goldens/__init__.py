"""The makers of the golden fixtures, one module per kind; make_fixtures.py runs them."""
