"""How a new revision takes over from the old one: strategies, as pure functions of what is seen and what time it is.

`situation.py` says what is seen and what may be decided; `decide.py` is the rule that all strategies share, and leads
to `second_set.py` (BlueGreen, and every promotion), `canary.py`, `in_place.py` or `recreate.py`. `counting.py` and
`analysis.py` judge a canary by its requests.
"""
