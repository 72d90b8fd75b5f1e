"""What a person sees and does in a browser. Not named as tests are: it needs a browser, and is a step of its own in CI."""
