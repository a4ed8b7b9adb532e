"""The zoo: what there is, where its weights are, how they are fetched and loaded."""
