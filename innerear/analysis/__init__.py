"""What is made of states that were read: probes, lenses, ABX, sparse autoencoders."""
