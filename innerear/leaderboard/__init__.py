"""Tables and pages made from stored results."""
