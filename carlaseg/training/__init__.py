"""Training, from the first look at the data to the model card; the story is told in `carlaseg.training.train`."""
