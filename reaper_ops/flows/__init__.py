"""One module per verb: calls the layers in order, decides nothing."""
