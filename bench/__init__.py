"""Speed of the parts that must be fast, each beside a floor or a rival measured in the same run.

No figure here is an assertion: the machine may be shared, so a ratio says more
than a time. What is correct is proved by the tests.
"""
