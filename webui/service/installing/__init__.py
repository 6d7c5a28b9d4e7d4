"""Adding, updating and removing extensions of third parties: what they bring is not trusted until someone has
agreed to run it."""
