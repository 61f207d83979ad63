"""What the cluster does with a model, on one's own machine: the pods' own steps, in folders of one's own."""
