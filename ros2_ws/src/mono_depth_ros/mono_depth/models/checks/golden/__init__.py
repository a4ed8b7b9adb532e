"""Whether our networks compute what the original code computes, with no weights at hand.

`models/golden/*.json` keep numbers that the original code of each network gave with the weights
and images of `pseudo_random`. A case computes them again with our network; each family says which
(`Family.golden_cases`).
"""
