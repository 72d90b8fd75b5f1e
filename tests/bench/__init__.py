"""The benchmark: this service beside a ceiling, two peers and the bare database, as ratios of one run."""
